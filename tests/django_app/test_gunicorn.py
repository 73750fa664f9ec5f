"""A payable Django project under gunicorn: two workers, one of which may die at any time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from paypercall import Client, wire
from paypercall.devnet import Devnet
from tests.gunicorn import SECONDS, Keys, accepted, ask, ask_until_answered, begin_books, gunicorn
from tests.parties import customer_on

pytestmark = pytest.mark.slow

APP = "tests.django_app.deployed_app:app"


@pytest.fixture
def net() -> Iterator[Devnet]:
    with Devnet() as net:
        yield net


@pytest.fixture
def merchant(net: Devnet, tmp_path: Path) -> Keys:
    folder = tmp_path / "merchant"
    merchant = Keys(net, folder)
    begin_books(merchant)
    in_django = {name: value for name, value in merchant.settings.items() if name != "database_url"}
    (folder / "payments.json").write_text(json.dumps(in_django))
    return merchant


@pytest.fixture
def payer(net: Devnet, merchant: Keys, tmp_path: Path) -> Iterator[Client]:
    with customer_on(net, tmp_path / "customer", merchant.address) as customer:
        yield customer


class Workers:
    """A connection to each of the two workers, which stays with it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connections: dict[int, requests.Session] = {}

    def __enter__(self) -> Workers:
        with ExitStack() as stack:
            while len(self._connections) < 2:
                session = stack.enter_context(requests.Session())
                session.trust_env = False
                number = session.get(f"{self._url}process", timeout=SECONDS).json()["process"]
                self._connections.setdefault(number, session)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ask(self, path: str, headers: dict[str, str]) -> list[requests.Response]:
        """Asks one worker after the other with the same payment."""
        answers = []
        for number, session in self._connections.items():
            answers.append(session.get(f"{self._url}{path}", headers=headers, timeout=SECONDS))
            assert session.get(f"{self._url}process", timeout=SECONDS).json() == {"process": number}
        return answers


def test_a_package_is_charged_once_at_both_workers_and_refunded_once(
    merchant: Keys, payer: Client, tmp_path: Path
) -> None:
    with gunicorn(APP, merchant, tmp_path) as url, Workers(url) as workers:
        first, again = workers.ask("counted", header(payer))
        assert (first.status_code, first.json()) == (200, {"run": 1})
        assert (again.status_code, again.content) == (200, first.content)
        assert again.headers[wire.RECEIPT] == first.headers[wire.RECEIPT]
        failed, again = workers.ask("broken", header(payer))
        assert failed.status_code == again.status_code == 500
        assert again.headers[wire.PACKAGE] == failed.headers[wire.PACKAGE]
        refund = payer.verify_payment_package(wire.decode_package(failed.headers[wire.PACKAGE]))
        assert (refund.amount, refund.error) == (100, None)
    assert accepted(merchant) == 200


def test_after_a_worker_was_killed_the_same_package_is_answered_and_charged_once(
    merchant: Keys, payer: Client, tmp_path: Path
) -> None:
    package = payer.create_payment_package(100)
    with gunicorn(APP, merchant, tmp_path) as url:
        with pytest.raises(requests.ConnectionError):
            ask(f"{url}deadly", package)
        assert accepted(merchant) == 100
        assert ask_until_answered(f"{url}deadly", package).json() == {"run": 2}
        again = ask(f"{url}deadly", package)
        assert again.json() == {"run": 2}
    assert accepted(merchant) == 100


def header(payer: Client) -> dict[str, str]:
    return {wire.PACKAGE: wire.encode_package(payer.create_payment_package(100))}
