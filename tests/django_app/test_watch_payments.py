"""`manage.py watch_payments` settles in a process of its own, and `manage.py migrate` makes the tables it needs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from paypercall.channel import Status
from paypercall.devnet import Devnet
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.store import Store
from tests.parties import customer_on, settings_for, wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

SETTINGS = """
import json
from pathlib import Path

HERE = Path(__file__).parent
SECRET_KEY = "of a test"
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["paypercall.django"]
MIDDLEWARE = ["paypercall.django.middleware.PaymentMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": HERE / "project.sqlite"}}
PAYPERCALL = {**json.loads((HERE / "payments.json").read_text()), "max_sweeping_period": 1}
"""


def test_a_process_of_its_own_settles_what_the_web_processes_accepted(tmp_path: Path) -> None:
    words = new_mnemonic()
    address = key_from_mnemonic(words).address
    with Devnet(speed=20) as net:
        net.fund(address, 1_000_000)
        net.settle()
        payments = settings_for(net, tmp_path)
        del payments["database_url"]
        (tmp_path / "settings.py").write_text(SETTINGS)
        (tmp_path / "urls.py").write_text("urlpatterns = []")
        (tmp_path / "payments.json").write_text(json.dumps(payments))
        environment = {
            **os.environ,
            "PYTHONPATH": f"{tmp_path}:{ROOT}",
            "DJANGO_SETTINGS_MODULE": "settings",
            "PAYPERCALL_MNEMONIC": words,
        }
        manage = [sys.executable, "-m", "django"]
        subprocess.run([*manage, "migrate"], env=environment, check=True, capture_output=True, timeout=60)
        watcher = subprocess.Popen(
            [*manage, "watch_payments"], env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            assert watcher.stdout is not None
            assert address in watcher.stdout.readline()
            package = _package(net, tmp_path / "customer", address)
            accepted = subprocess.run(
                [*manage, "shell", "-c", _ACCEPT.format(package=package)],
                env=environment,
                check=True,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert "accepted 50000" in accepted.stdout
            wait_until(lambda: _has_closing(net, address), "the channel is swept", 30)
        finally:
            watcher.send_signal(signal.SIGTERM)
            assert watcher.wait(timeout=30) == 0
            watcher.stdout.close()
        # A web process that is not paid yet watches, too.
        with closing(Store(f"sqlite:///{tmp_path}/project.sqlite")) as store, store.transaction() as books:
            books.node.set_synced_at(int(time.time()) - 3600)
        opened = subprocess.run(
            [*manage, "shell", "-c", _OPEN], env=environment, capture_output=True, text=True, timeout=60
        )
        assert "looked again" in opened.stdout, opened.stderr
        assert "nobody has looked at the ledger for 60 minutes" in opened.stderr


_ACCEPT = """
from paypercall.django import payment
result = payment.project.server.server.verify_payment_package({package!r})
print("accepted", result.amount, result.error)
payment.close()
"""

_OPEN = """
import time
from paypercall.django import payment
store, begin = payment.project.server.server.store, time.time()
while time.time() < begin + 30:
    with store.reading() as books:
        if books.node.health().synced_at > begin - 60:
            print("looked again")
            break
    time.sleep(0.1)
payment.close()
"""


def _package(net: Devnet, folder: Path, payee: str) -> dict[str, object]:
    with customer_on(net, folder, payee) as customer:
        package = customer.create_payment_package(50_000)
        wait_until(lambda: customer.balance().status is Status.OPEN, "the channel is open")
        return package


def _has_closing(net: Devnet, payee: str) -> bool:
    """Whether the payee has sent a close."""
    return any(
        message["app"] == "data" and message["payload"].get("close")
        for joint in net.units()
        if joint["unit"]["authors"][0]["address"] == payee
        for message in joint["unit"].get("messages", ())
    )
