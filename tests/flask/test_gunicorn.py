"""A payable Flask app under gunicorn: two workers, one of which may die at any time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from paypercall import Client
from paypercall.devnet import Devnet
from tests.gunicorn import Keys, accepted, ask, ask_until_answered, begin_books, gunicorn
from tests.parties import customer_on

pytestmark = pytest.mark.slow


@pytest.fixture
def net() -> Iterator[Devnet]:
    with Devnet() as net:
        yield net


@pytest.fixture
def merchant(net: Devnet, tmp_path: Path) -> Keys:
    merchant = Keys(net, tmp_path / "merchant")
    begin_books(merchant)
    return merchant


@pytest.fixture
def customer(net: Devnet, merchant: Keys, tmp_path: Path) -> Iterator[Client]:
    with customer_on(net, tmp_path / "customer", merchant.address) as customer:
        yield customer


def test_after_a_worker_was_killed_the_same_package_is_answered_and_charged_once(
    merchant: Keys, customer: Client, tmp_path: Path
) -> None:
    package = customer.create_payment_package(100)
    with gunicorn("tests.flask.deployed_app:app", merchant, tmp_path) as url:
        with pytest.raises(requests.ConnectionError):
            ask(f"{url}deadly", package)
        assert accepted(merchant) == 100
        assert ask_until_answered(f"{url}deadly", package).json() == {"run": 2}
        again = ask(f"{url}deadly", package)
        assert again.json() == {"run": 2}
    assert accepted(merchant) == 100


def test_of_the_same_package_at_both_workers_one_runs_and_all_get_its_answer(
    merchant: Keys, customer: Client, tmp_path: Path
) -> None:
    packages = [customer.create_payment_package(100) for _ in range(4)]
    with (
        gunicorn("tests.flask.deployed_app:app", merchant, tmp_path) as url,
        ThreadPoolExecutor(6) as threads,
    ):
        seen: set[int] = set()
        for package in packages:
            calls = [threads.submit(ask_until_answered, f"{url}slow", package) for _ in range(6)]
            answers = [call.result() for call in calls]
            assert {answer.status_code for answer in answers} == {200}
            assert len({answer.content for answer in answers}) == 1
            seen.add(answers[0].json()["run"])
    assert seen == {1, 2, 3, 4}
    assert accepted(merchant) == 400
