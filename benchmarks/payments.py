"""(a) verifying and (b) creating a package on a known channel, against the floor."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from coincurve import PrivateKey

from benchmarks.floor import RawBooks
from benchmarks.merchant import merchant, open_channel, packages
from benchmarks.result import Result, ratio_of
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.mnemonics import new_mnemonic

ROUNDS = 400
LIMIT = 4.0
DIGEST = b"\x07" * 32


def verify() -> Result:
    """verify_payment_package / (one coincurve verification + one raw commit of the same rows)."""
    customer = key_from_mnemonic(new_mnemonic())
    raw_key = PrivateKey()
    signature, public_key = raw_key.sign(DIGEST, hasher=None), raw_key.public_key
    with tempfile.TemporaryDirectory() as name, merchant(Path(name)) as party:
        channel = open_channel(party, customer.address)
        sent = [json.dumps(package) for package in packages(customer, channel, ROUNDS)]
        raw = RawBooks(Path(name), sent[0])

        def subject(number: int) -> None:
            payment = party.server.verify_payment_package(sent[number])
            assert payment.error is None, payment

        def floor(number: int) -> None:
            assert public_key.verify(signature, DIGEST, hasher=None)
            raw.take_payment(number)

        ratio = ratio_of(subject, floor, ROUNDS)
        raw.close()
    return Result("verify_payment_package", ratio, LIMIT, "ratio")


def create() -> Result:
    """create_payment_package / (one coincurve signature + one raw commit of the channel's sum)."""
    customer = key_from_mnemonic(new_mnemonic())
    raw_key = PrivateKey()
    with tempfile.TemporaryDirectory() as name, merchant(Path(name)) as party:
        channel = open_channel(party, customer.address, deposited_by_me=10_000_000)
        raw = RawBooks(Path(name), "")

        def subject(number: int) -> None:
            party.server.create_payment_package(100, channel.aa_address)

        def floor(number: int) -> None:
            raw_key.sign(DIGEST, hasher=None)
            raw.sign_payment(number)

        ratio = ratio_of(subject, floor, ROUNDS)
        raw.close()
    return Result("create_payment_package", ratio, LIMIT, "ratio")
