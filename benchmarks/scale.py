"""(c) verifying with many channels in the database, against the same with few."""

from __future__ import annotations

import secrets
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.merchant import Merchant, merchant, open_channel, opened_channel, packages
from benchmarks.result import Result, ratio_of
from paypercall.obyte.address import chash160
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.mnemonics import new_mnemonic

MANY = 100_000
FEW = 10
ROUNDS = 400
LIMIT = 1.2


def verify_among_many() -> Result:
    """verify_payment_package with 100,000 channels in the books / the same with 10."""
    customer = key_from_mnemonic(new_mnemonic())
    with ExitStack() as stack:
        subjects = []
        for count in (MANY, FEW):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            party = stack.enter_context(merchant(folder))
            _fill(party, count)
            channel = open_channel(party, customer.address)
            subjects.append((party.server, packages(customer, channel, ROUNDS)))

        def verify(number: int, which: int) -> None:
            server, sent = subjects[which]
            payment = server.verify_payment_package(sent[number])
            assert payment.error is None, payment

        ratio = ratio_of(lambda number: verify(number, 0), lambda number: verify(number, 1), ROUNDS)
    return Result("verify_payment_package, 100,000 : 10 channels", ratio, LIMIT, "ratio")


def _fill(party: Merchant, count: int) -> None:
    """Adds open channels of customers who are never heard of again."""
    with party.store.transaction() as books:
        for _ in range(count):
            channel = opened_channel(party.server.address, chash160(secrets.token_hex(16)))
            books.channels.add(channel, created_at=0)
