"""The places that calls have in a budget: taken, held with signs of life, let go, ended. A few short transactions each.

What may be paid is not decided here, but for the limits: they are asked in one transaction with the reservation.
"""

from __future__ import annotations

import os
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from paypercall.bought_call import (
    LEASE_SECONDS,
    RESUME_SECONDS,
    BoughtCall,
    BoughtCallState,
    give_up,
    is_left,
    let_go,
    put_aside,
    resume,
)
from paypercall.heartbeat import Heartbeat
from paypercall.paying.budget import DAY, HOUR, Budget, PaymentDeclined, Wish, limited, require_within
from paypercall.paying.call import Call
from paypercall.paying.offer import Quote
from paypercall.paying.purchase import Purchase, signed_call
from paypercall.paying.rest import Fate, Rest
from paypercall.settled import Standing, standing_after, standing_within
from paypercall.settlement.node import wall_clock
from paypercall.store import Books, Store

_BEAT_SECONDS = 2.0

PLACE_SECONDS = 300
"""How long after its reservation a payment is signed at most; a channel is waited for for a minute."""

EndingRule = Callable[[BoughtCall, str], BoughtCall]
"""A rule of `bought_call.py` that ends a call of a channel."""


class Places:
    """The bought calls of one database, as far as this process is at them. Safe to use from many threads and processes.

    Args:
        store: The database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._heartbeat: Heartbeat[BoughtCall] = Heartbeat(self._keep, _BEAT_SECONDS)
        self._dropped: deque[tuple[Purchase, EndingRule]] = deque()

    def last_paid(self, call: Call) -> list[BoughtCall]:
        """The last two calls to a call's resource whose price was not given back; the newest first."""
        with self._store.reading() as books:
            return books.bought_calls.last_ended(call.resource)

    def last_made(self, call: Call) -> BoughtCall | None:
        """The last call to a call's resource, whatever became of it."""
        with self._store.reading() as books:
            return books.bought_calls.last(call.resource)

    def others_at(self, call: Call) -> dict[int, int]:
        """The pending calls like this one that other processes are at, or died at, and until when they are theirs."""
        now = wall_clock()
        with self._store.reading() as books:
            pending = books.bought_calls.in_state(BoughtCallState.PENDING, call.request, now - RESUME_SECONDS)
        return {row.id: row.runs_until for row in pending if row.run != _this.run and not is_left(row, now)}

    def is_aside(self, request: str) -> bool:
        """Whether a payment was put aside, by what stands in place of a request's digest."""
        with self._store.reading() as books:
            made_after = wall_clock() - RESUME_SECONDS
            return bool(books.bought_calls.in_state(BoughtCallState.PENDING, request, made_after))

    def reserve(self, budget: Budget, call: Call, quote: Quote) -> BoughtCall:
        """Takes a place in a budget for a call, durably, before anything is signed for it.

        Raises:
            PaymentDeclined: When a limit would be passed.
        """
        row = BoughtCall(
            request=call.request,
            resource=call.resource,
            origin=call.origin,
            payee=quote.payee,
            asset=quote.asset,
            amount=quote.price,
            key=secrets.token_hex(16),
            made_at=0,
            run=_this.run,
        )
        reserved = reserve(self._store, budget, row)
        self._heartbeat.add(reserved)
        return reserved

    def take_left(
        self,
        request: str,
        call: Call,
        may_take: Callable[[Call, BoughtCall], bool],
        state: BoughtCallState = BoughtCallState.PENDING,
        seconds: int = RESUME_SECONDS,
    ) -> BoughtCall | None:
        """Takes what was left of a request for a call, and gives signs of life of it from now on.

        Args:
            request: Its digest, or what stands for it where it was put aside.
            call: The call.
            may_take: Whether the call may take a row.
            state: In which state.
            seconds: How long ago it was made at most.
        """
        now = wall_clock()
        with self._store.reading() as books:
            if not books.bought_calls.in_state(state, request, now - seconds):
                return None
        with self._store.transaction() as books:
            rows = books.bought_calls.lock_in_state(state, request, now - seconds)
            left = next(
                (row for row in map(_as_left, rows) if is_left(row, now) and may_take(call, row)), None
            )
            if left is None:
                return None
            row = resume(left, call.request, call.resource, _this.run, now)
            books.bought_calls.save(row)
        _this.unwritten.discard(row.key)
        self._heartbeat.add(row)
        return row

    def reserve_anew(self, budget: Budget, row: BoughtCall) -> BoughtCall:
        """Moves a place that was left before anything was signed for it to where the budget is now.

        Its key stays: whoever has left it and goes on all the same signs nothing else than this process.

        Raises:
            PaymentDeclined: When a limit would be passed.
        """
        return reserve(self._store, budget, row)

    def drop_unsigned(self, purchase: Purchase) -> None:
        """Gives a place back if nothing was signed for it, and it is still this process's.

        Whoever has it, too, and wakes up later, signs nothing without it; see `require_place`.
        """
        with self._store.transaction() as books:
            row = books.bought_calls.lock(purchase.row)
            if (
                row is None
                or row.run != _this.run
                or purchase.client.sent_by_books(books, row.key) is not None
            ):
                return
            books.bought_calls.drop(row)
        self._heartbeat.remove(purchase.row)
        purchase.is_over = True

    def release(self, purchase: Purchase | None) -> None:
        """Leaves a purchase whose outcome is unknown to whoever makes the call again; one that is over stays so."""
        if purchase is None or not purchase.is_held:
            return
        with self._leaving(purchase) as books:
            row = books.bought_calls.lock(purchase.row)
            # After a long sleep it may be another process's, which may have sent the payment, or given the place back.
            if row is not None and row.run == _this.run:
                books.bought_calls.save(_left(purchase, row))

    def hand_on(self, purchase: Purchase, how: EndingRule, rest: Rest) -> BoughtCall:
        """Leaves it to the answer's body to end a purchase; gives what that will make of it."""

        def end_by(fate: Fate) -> None:
            if purchase.row.run != _this.run:  # in a fork of the process that reads it
                return
            purchase.is_handed_on = False
            if fate is Fate.READ:
                self.end(purchase, how)
            elif fate is Fate.BROKEN:
                self.release(purchase)
            else:
                # Told by the garbage collector, maybe in the middle of a transaction.
                self._dropped.append((purchase, how))

        with self._store.brief_transaction() as books:
            ended = how(signed_call(books, purchase.row), purchase.aa_address)
        purchase.is_handed_on = True
        rest.watch(end_by)
        return ended

    def end_dropped(self) -> None:
        """Ends the purchases whose answers the program has dropped before it read them to their ends."""
        while True:
            try:
                purchase, how = self._dropped.popleft()
            except IndexError:  # another thread may have taken the last one
                return
            self.end(purchase, how)

    def end(self, purchase: Purchase, how: EndingRule) -> BoughtCall:
        """Ends a purchase, as a rule of `bought_call.py` has it."""
        # If this is forgotten, the same package is sent again and answered again.
        with self._leaving(purchase) as books:
            row = how(signed_call(books, purchase.row), purchase.aa_address)
            books.bought_calls.save(row)
        return row

    def end_by_ledger(self, purchase: Purchase) -> Standing:
        """Ends a purchase if the ledger tells what has become of its payment; gives that."""
        with self._store.transaction() as books:
            standing = end_by_ledger(books, purchase)
        if standing.is_final:
            self._heartbeat.remove(purchase.row)
            purchase.is_over = True
        return standing

    @contextmanager
    def _leaving(self, purchase: Purchase) -> Iterator[Books]:
        """The transaction with which this process is done with a purchase; if that fails, it is left all the same."""
        self._heartbeat.remove(purchase.row)
        purchase.is_over = True
        try:
            with self._store.brief_transaction() as books:
                yield books
        except BaseException:
            _this.unwritten.add(purchase.row.key)
            raise

    def _keep(self, rows: list[BoughtCall]) -> None:
        self.end_dropped()
        with self._store.brief_transaction() as books:
            books.bought_calls.prolong(
                sorted(row.id for row in rows), _this.run, wall_clock() + LEASE_SECONDS
            )


def reserve(store: Store, budget: Budget, row: BoughtCall) -> BoughtCall:
    """Books a call if the budget allows it, durably, before anything is signed for it.

    Args:
        store: The database.
        budget: What may be spent.
        row: The call; one that is booked already counts from now on, in place of when it was made.

    Raises:
        PaymentDeclined: When a limit would be passed.
    """
    with store.transaction() as books:
        # Of two that reserve at once, the second sees what the first has reserved.
        books.node.lock()
        if row.id:
            row = _place_of(books, row)
            books.bought_calls.withdraw(row)
        now = wall_clock()
        wish = Wish(row.amount, row.origin, row.payee)
        spending = books.bought_calls.spending(
            row.asset, *limited(budget, wish), hour_ago=now - HOUR, day_ago=now - DAY
        )
        require_within(budget, wish, spending)
        reserved = replace(row, made_at=now, runs_until=now + LEASE_SECONDS)
        if not row.id:
            return books.bought_calls.add(reserved)
        books.bought_calls.renew(reserved)
        return reserved


def end_by_ledger(books: Books, purchase: Purchase) -> Standing:
    """The same, within a transaction: what comes back at the end of a period comes back for one payment, and no other.

    The channel is locked for that, as it is for what ends its period.
    """
    package, row = purchase.package["signed_message"], purchase.row
    paid = {"amount": row.amount, "amount_spent": package["amount_spent"]}
    record = books.channels.lock(purchase.aa_address)
    assert record is not None, "channels are never deleted"
    # Locked before anything is judged: what another process has found counts, and what it has booked for that.
    place = signed_call(books, row)
    if place.state is not BoughtCallState.PENDING:
        return Standing.OVER
    if record.channel.period == package["period"]:
        standing, ended = standing_within(record.channel, **paid), None
    else:
        ended = books.periods.get(purchase.aa_address, package["period"])
        if ended is None:
            return Standing.UNTOLD
        standing = standing_after(ended.settled, ended.signed_by_peer, ended.paid_anew, **paid)
    if not standing.is_final:
        return standing
    if standing is Standing.GIVEN_BACK and ended is not None:
        books.periods.pay_anew(ended, row.amount)
    books.bought_calls.save(give_up(place, purchase.aa_address))
    return standing


def require_place(books: Books, row: BoughtCall) -> None:
    """Locks the place of a call, for the transaction that signs: without one, or long after it was taken, none does.

    Raises:
        PaymentDeclined: With `place_lost`, when another process has given the place back, or the limits that it was
            held against are those of another hour.
    """
    if wall_clock() - _place_of(books, row).made_at > PLACE_SECONDS:
        raise _place_lost()


def _place_of(books: Books, row: BoughtCall) -> BoughtCall:
    place = books.bought_calls.lock(row)
    if place is None:
        raise _place_lost()
    return place


def _place_lost() -> PaymentDeclined:
    return PaymentDeclined(
        "this call was left for too long between its place in the budget and its payment; call again",
        code="place_lost",
    )


def _as_left(row: BoughtCall) -> BoughtCall:
    """A call as it would be in the books, had this process been able to write that it has let it go."""
    return let_go(row) if row.run == _this.run and row.key in _this.unwritten else row


def _left(purchase: Purchase, row: BoughtCall) -> BoughtCall:
    """What becomes of a call whose outcome is unknown."""
    if not purchase.may_have_left:
        return put_aside(row)
    return put_aside(row, purchase.call.asker) if purchase.is_unheeded else let_go(row)


class _Process:
    """Tells this process from all others, the one that it was forked from included.

    Attributes:
        run: By which the books know it.
        unwritten: The keys of the calls that it has let go, though the books do not say so: a write has failed.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.run = secrets.token_hex(16)
        self.unwritten: set[str] = set()


_this = _Process()
os.register_at_fork(after_in_child=_this.begin)
