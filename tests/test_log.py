"""What must never be in a log: the words and keys of a wallet, and packages, which are bearer money for a while."""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path

import pytest

from paypercall.client import Client
from paypercall.conf import Conf
from paypercall.devnet import Devnet
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.mnemonics import MNEMONIC_VARIABLE, new_mnemonic
from paypercall.server import Server
from tests.parties import settings_for, wait_until, wait_until_open


def test_no_key_mnemonic_or_package_is_in_the_log_of_a_channels_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mnemonics = [new_mnemonic(), new_mnemonic()]
    packages = []
    with Devnet(speed=20) as net, caplog.at_level(logging.DEBUG):
        for words in mnemonics:
            net.fund(key_from_mnemonic(words).address, 1_000_000)
        net.settle()
        monkeypatch.setenv(MNEMONIC_VARIABLE, mnemonics[0])
        merchant = Server(conf=Conf.from_settings(settings_for(net, folder(tmp_path, "merchant"))))
        monkeypatch.setenv(MNEMONIC_VARIABLE, mnemonics[1])
        conf = Conf.from_settings(settings_for(net, folder(tmp_path, "customer")))
        with merchant, Client(merchant.address, conf=conf) as customer:
            package = customer.create_payment_package(20_000)
            payment = merchant.verify_payment_package(package)
            assert payment.error is None and payment.aa_address is not None
            refund = merchant.create_payment_package(1_000, payment.aa_address, "refund")
            assert customer.verify_payment_package(refund).error is None
            # Refused ones are no less worth keeping.
            assert merchant.verify_payment_package(refund).error is not None
            broken = {**package, "version": "9.9"}
            assert merchant.verify_payment_package(json.dumps(broken)).code == "wrong_version"
            wait_until_open(customer, merchant)
            last = customer.create_payment_package(70_000)
            assert merchant.verify_payment_package(last).error is None
            packages = [package, refund, last]
            customer.close()
            wait_until(lambda: len(merchant.settled_periods()) == 1, "the period has ended")
    log = "\n".join(logging.Formatter().format(record) for record in caplog.records)
    assert "decided to close period 1" in log, "the log is the whole one"
    secrets = [each["authors"][0]["authentifiers"]["r"] for each in packages]
    secrets += [secret for words in mnemonics for secret in (*rows_of(words), *spellings_of_key(words))]
    assert [secret for secret in secrets if secret in log] == []


def rows_of(words: str) -> list[str]:
    """Each three words in a row."""
    listed = words.split()
    return [" ".join(three) for three in zip(listed, listed[1:], listed[2:], strict=False)]


def spellings_of_key(words: str) -> list[str]:
    """The private key in the ways in which one might print it."""
    key = key_from_mnemonic(words).private_key
    return [key.hex(), base64.b64encode(key).decode(), repr(key), str(int.from_bytes(key, "big"))]


def folder(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    path.mkdir()
    return path
