"""Workers of gunicorn that are forked from a process that has made the app, and has used its threads."""

from __future__ import annotations

from pathlib import Path

import pytest

from paypercall.devnet import Devnet
from tests.gunicorn import Keys, accepted, ask_until_answered, begin_books, gunicorn
from tests.parties import customer_on

PRICE = 100
ENOUGH = 40


@pytest.mark.slow
def test_every_forked_worker_takes_payments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--worker-class=uvicorn.workers.UvicornWorker")
    with Devnet() as net:
        merchant = Keys(net, tmp_path / "merchant")
        begin_books(merchant)
        with (
            customer_on(net, tmp_path / "customer", merchant.address) as customer,
            gunicorn("tests.asgi.deployed_app:app", merchant, tmp_path) as url,
        ):
            processes: list[str] = []
            while len(set(processes)) < 2 and len(processes) < ENOUGH:
                answer = ask_until_answered(f"{url}paid", customer.create_payment_package(PRICE))
                assert answer.status_code == 200
                processes.append(answer.text)
        customer.wallet.close()
        assert len(set(processes)) == 2
        assert accepted(merchant) == PRICE * len(processes)
