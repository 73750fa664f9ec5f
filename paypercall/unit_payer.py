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
from paypercall.unit_payment import UnitPayment

_SECRET_BYTES = 32
_SENT = (OutboxState.POSTED, OutboxState.STABLE)


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
        """The units that were neither taken back nor are final, the oldest first: after a crash, to be sent again."""
        with self._store.reading() as books:
            rows = books.outbox.unfinished()
        return [_prepared(row) for row in rows if _is_open(row)]

    @counted
    def take_back(self, prepared: PreparedUnit, timeout: float = POSTING_SECONDS) -> None:
        """Spends the coins of a unit otherwise, after its payee has refused it. That costs the fees of a unit.

        Only one of the two can become final; a payee that posts the first one in time can still have it.

        Args:
            prepared: As `prepare` gave it.
            timeout: Seconds to wait until the other unit is posted.

        Raises:
            UnitSpent: The unit is final.
            ChannelTimeout: The other unit is not posted yet. It will be, unless the first one becomes final.
        """
        with self._store.transaction() as books:
            row = books.outbox.get(prepared.number)
            assert row is not None and row.kind is OutboxKind.UNIT_PAYMENT
            if _is_open(row):
                books.outbox.reopened(row.id, {**row.details, "is_taken_back": True}, self._node.now())
        self._wait(prepared.number, lambda row: row.state in _SENT or row.state.is_finished, timeout)
        row = self._row(prepared.number)
        if row.state is OutboxState.FAILED:
            return  # another unit has spent its coins
        if not row.details["is_taken_back"]:
            raise UnitSpent("the unit is final, and cannot be taken back")
        if row.state not in _SENT:
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
    is_prepared = row.kind is OutboxKind.UNIT_PAYMENT and row.unit is not None
    return is_prepared and not row.state.is_finished and not row.details["is_taken_back"]


def _prepared(row: OutboxRow) -> PreparedUnit:
    assert row.unit is not None
    details = row.details
    payment = UnitPayment(row.unit, details["secret"])
    return PreparedUnit(row.id, details["address"], details["amount"], details["asset"], payment)
