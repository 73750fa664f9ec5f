"""Payments by units that their payee posts: prepared, presented again after a crash, taken back after a refusal.

They go through the outbox, so that the wallet keeps track of its coins whatever crashes. A unit that is signed counts
as paid, until a unit that takes its place says otherwise.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from paypercall import wire
from paypercall.arguments import check_withdrawal
from paypercall.calls import Calls, counted
from paypercall.errors import PaypercallError
from paypercall.funds import POSTING_SECONDS, NotSent
from paypercall.obyte.amounts import BASE
from paypercall.results import ChannelTimeout
from paypercall.settlement.commands import details_of_unit_payment
from paypercall.settlement.node import Node
from paypercall.store import OutboxKind, OutboxRow, OutboxState, Store
from paypercall.unit_payment import UnitPayment, commitment_message

_SECRET_BYTES = 32


class UnitSpent(PaypercallError):
    """The unit is final: what it pays cannot be taken back."""

    code = "unit_spent"


@dataclass(frozen=True, slots=True)
class PreparedUnit:
    """A signed unit that pays for one request.

    Attributes:
        number: Identifies it in the books.
        payee: Whom it pays.
        amount: In bytes or units of the asset.
        asset: The asset.
        payment: The unit, and the secret that lets its payee use it.
    """

    number: int
    payee: str
    amount: int
    asset: str
    payment: UnitPayment = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The header to send with the request; to be sent again as it is when the outcome is unknown."""
        return {wire.UNIT: wire.encode_unit(self.payment.to_wire())}


class UnitPayer:
    """Makes units that pay for requests. `Party.unit_payer` gives one. Safe to use from many threads and processes.

    Args:
        store: The books.
        node: Signs what is decided, or waits for the process that does.
        calls: Of the party.
    """

    def __init__(self, store: Store, node: Node, calls: Calls) -> None:
        self._store = store
        self._node = node
        self._calls = calls

    @counted
    def prepare(
        self, amount: int, payee: str, asset: str = BASE, timeout: float = POSTING_SECONDS
    ) -> PreparedUnit:
        """Signs a unit that pays for a request, and does not post it: its payee does.

        After ten minutes, or as soon as another unit is needed, it is posted nevertheless, because units of a wallet
        that do not know of each other conflict. It stays good for a request after that.

        Args:
            amount: The price exactly, in bytes or units of the asset.
            payee: The merchant's address.
            asset: `base`, or the asset's id.
            timeout: Seconds to wait until it is signed.

        Raises:
            Refusal: For a wrong amount, address or asset.
            NotSent: It could not be made, or not in time; nothing was signed.
        """
        check_withdrawal(amount, payee, asset)
        details = details_of_unit_payment(payee, amount, asset, secrets.token_urlsafe(_SECRET_BYTES))
        with self._store.transaction() as books:
            number = books.outbox.add(
                OutboxKind.UNIT_PAYMENT, aa_address=None, period=None, details=details, now=self._node.now()
            )
        self._wait(number, lambda row: row.unit is not None or row.attempts > 0, timeout)
        with self._store.transaction() as books:
            is_cancelled = books.outbox.cancel(number, self._node.now())
        row = self._row(number)
        if is_cancelled or row.unit is None:
            raise NotSent(f"nothing was signed: {row.last_error or 'there was no answer in time'}")
        return _prepared(row)

    @counted
    def prepared(self) -> list[PreparedUnit]:
        """The units that can buy something, final ones included, the oldest first: after a crash, to be sent again.

        Neither those that `done` was called for, nor those that are taken back: of these only one that has won.
        """
        with self._store.reading() as books:
            rows = books.outbox.unfinished() + books.outbox.stable(OutboxKind.UNIT_PAYMENT)
        good = [row for row in rows if not row.is_done_with and (_is_open(row) or _has_paid(row))]
        return [_prepared(row) for row in sorted(good, key=lambda row: row.id)]

    @counted
    def done(self, prepared: PreparedUnit) -> None:
        """Notes in the books that a unit was used, so that `prepared` does not list it any more. Safe to repeat."""
        with self._store.transaction() as books:
            row = books.outbox.lock(prepared.number)
            assert row is not None and row.kind is OutboxKind.UNIT_PAYMENT
            books.outbox.done_with(row.id, row.details)

    @counted
    def take_back(self, prepared: PreparedUnit, timeout: float = POSTING_SECONDS) -> None:
        """Spends the coins of a unit otherwise, after its payee has refused it. That costs the fees of a unit.

        Only one of the two can become final; a payee that posts the first one in time can still have it: then
        `prepared` lists it again.

        Args:
            prepared: As `prepare` gave it.
            timeout: Seconds to wait until the other unit is posted.

        Raises:
            UnitSpent: The unit is final, and has paid its payee.
            ChannelTimeout: The other unit is not posted yet. It will be, unless the first one becomes final.
        """
        with self._store.transaction() as books:
            row = books.outbox.lock(prepared.number)
            assert row is not None and row.kind is OutboxKind.UNIT_PAYMENT
            if _is_open(row):
                books.outbox.reopened(row.id, {**row.details, "is_taken_back": True}, self._node.now())
        self._wait(prepared.number, _is_sent, timeout)
        row = self._row(prepared.number)
        if _has_paid(row):
            raise UnitSpent("the unit is final, and cannot be taken back")
        if not _is_sent(row):
            raise ChannelTimeout(f"the unit is not taken back yet; it goes on by itself ({row.last_error})")

    def _wait(self, number: int, is_done: Callable[[OutboxRow], bool], timeout: float) -> None:
        self._node.start()
        self._node.wake()
        self._calls.wait_for(lambda: is_done(self._row(number)), timeout, self._node.wait_for_change)

    def _row(self, number: int) -> OutboxRow:
        with self._store.reading() as books:
            row = books.outbox.get(number)
        assert row is not None, "rows of the outbox are never deleted"
        return row


def _is_open(row: OutboxRow) -> bool:
    """Whether a payment may yet become final, and nothing is to take its place."""
    is_prepared = row.kind is OutboxKind.UNIT_PAYMENT and row.unit is not None
    return is_prepared and not row.state.is_finished and not row.details["is_taken_back"]


def _is_sent(row: OutboxRow) -> bool:
    return row.state is OutboxState.POSTED or row.state.is_finished


def _has_paid(row: OutboxRow) -> bool:
    """Whether a payment is final: what was posted to take it back may have lost."""
    if row.kind is not OutboxKind.UNIT_PAYMENT or row.state is not OutboxState.STABLE or row.unit is None:
        return False
    bound = commitment_message(row.details["secret"], row.details["address"])["payload"]
    return any(message.get("payload") == bound for message in row.unit["messages"])


def _prepared(row: OutboxRow) -> PreparedUnit:
    assert row.unit is not None
    details = row.details
    payment = UnitPayment(row.unit, details["secret"])
    return PreparedUnit(row.id, details["address"], details["amount"], details["asset"], payment)
