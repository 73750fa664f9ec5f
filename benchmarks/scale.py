"""(c) verifying with many channels in the database, against the same with few, and listing them all."""

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
from paypercall.server import Server

MANY = 100_000
FEW = 10
ROUNDS = 400
LIMIT = 1.2

MANY_LISTED = 20_000
FEW_LISTED = 1_000
LISTINGS = 5
LIMIT_OF_EACH = 2.0


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


def list_many() -> Result:
    """Server.channels with 20,000 channels, for each of them / the same with 1,000."""
    with ExitStack() as stack:
        parties = []
        for count in (MANY_LISTED, FEW_LISTED):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            parties.append(stack.enter_context(merchant(folder)))
            _fill(parties[-1], count)
        ratio = ratio_of(
            lambda _: _list(parties[0].server, MANY_LISTED),
            lambda _: _list(parties[1].server, FEW_LISTED),
            LISTINGS,
        )
    each = ratio * FEW_LISTED / MANY_LISTED
    return Result("Server.channels, each of 20,000 : of 1,000", each, LIMIT_OF_EACH, "ratio")


def _list(server: Server, count: int) -> None:
    assert len(server.channels()) == count


def _fill(party: Merchant, count: int) -> None:
    """Adds open channels of customers who are never heard of again."""
    with party.store.transaction() as books:
        for _ in range(count):
            channel = opened_channel(party.server.address, chash160(secrets.token_hex(16)))
            books.channels.add(channel, created_at=0)
