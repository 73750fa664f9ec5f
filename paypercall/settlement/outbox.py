"""The outbox at work: each decided row becomes one unit on the ledger, whatever crashes, hangs or is refused.

The signed unit is stored before it is posted, and the same unit is posted again until the ledger has it. One that is
refused, or that hubs take and the ledger does not, is replaced by a unit that spends one of the same inputs, so that
never both can be paid. Only the holder of the lease
sends; it proves so in the transaction that stores the unit, and before each time that it posts one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from paypercall.channel import Channel, Status
from paypercall.errors import PaypercallError
from paypercall.obyte.composer import Draft
from paypercall.obyte.errors import HubError, HubRefused, TooManyCoins
from paypercall.obyte.light import LightClient
from paypercall.obyte.unit import Unit
from paypercall.obyte.wallet import Wallet
from paypercall.settlement.commands import COMMANDS, DEPOSITS, draft_of
from paypercall.settlement.gathering import (
    GATHERINGS,
    consolidation_for,
    is_too_late,
    require_no_need_for_reserve,
)
from paypercall.settlement.lease import Lease, LeaseLost
from paypercall.settlement.repetition import hangs
from paypercall.settlement.spending import Spending, tps_fee_limit
from paypercall.store import Books, OutboxKind, OutboxRow, OutboxState, Store

logger = logging.getLogger(__name__)

REPOST_SECONDS = 60
"""A posted unit that the ledger has not shown for so long is posted again."""

HANDOVER_SECONDS = 600
"""A unit that its payee is to post is left to it for so long."""

LONGEST_PAUSE = 60
"""Seconds between two attempts at a row that keeps failing."""


class RowChanged(PaypercallError):
    """A row was cancelled, sent by another process or made void by the ledger while its unit was composed here."""

    code = "row_changed"


def bytes_in_reserve(books: Books, spending: Spending, new_channels: int) -> int:
    """The bytes to hold back to close and contest all channels with anything at stake, and so many new ones.

    A channel in which nobody has paid needs no defence, and one with little is not worth more than that: otherwise
    deposits, which come back, would be enough to keep a merchant from accepting anything. The same goes for channels in
    other assets, as far as it is known what these are worth.
    """
    at_stake, whole_reserves = 0, books.channels.count_at_stake() + new_channels
    for asset in spending.known_assets:
        amount, channels = books.channels.sum_at_stake(asset, below=spending.reserve_in(asset))
        at_stake += spending.in_bytes(asset, amount)
        whole_reserves -= channels
    return at_stake + spending.reserve * whole_reserves


class Outbox:
    """Carries out what was decided. One instance a process; used by the lease holder's thread only.

    Args:
        store: The books.
        wallet: Composes and signs.
        light: Posts.
        lease: Must be held by this process when a unit is stored or posted.
        spending: Limits.
        clock: Seconds, this node's own.
        certain_time: Asks the hub for the least that the ledger's time is for sure, in seconds.
    """

    def __init__(
        self,
        store: Store,
        wallet: Wallet,
        light: LightClient,
        lease: Lease,
        spending: Spending,
        clock: Callable[[], int],
        certain_time: Callable[[], int],
    ) -> None:
        self._store = store
        self._wallet = wallet
        self._light = light
        self._lease = lease
        self._spending = spending
        self._clock = clock
        self._certain_time = certain_time
        self._next_attempt: dict[int, float] = {}

    def adopt_all(self) -> None:
        """Tells the wallet of every stored unit, so that its inputs are not spent by another one."""
        with self._store.reading() as books:
            units = [unit for row in books.outbox.unfinished() for unit in books.outbox.signed_units(row.id)]
        for unit in units:
            self._wallet.adopt(unit)

    def advance(self) -> bool:
        """Does the next step of every unfinished row whose turn it is: signed units first, then commands.

        Returns:
            Whether anything was sent, or signed for somebody else to send.

        Raises:
            HubError: When the hub is out of reach; every row keeps its state.
            LeaseLost: When another process has taken over.
        """
        with self._store.reading() as books:
            rows = books.outbox.unfinished()
        has_sent = False
        # Two units of an address that do not know of each other conflict: what is signed must be posted, or the hub be
        # out of reach, before anything new is composed.
        for row in sorted(
            rows, key=lambda row: (not _has_unsent_unit(row), row.kind not in COMMANDS, row.id)
        ):
            if self._next_attempt.get(row.id, 0) > self._clock():
                continue
            try:
                has_sent |= self._step_or_consolidate(row)
            except HubRefused as refusal:
                self._note_failure(row, refusal)
            except (HubError, LeaseLost):
                raise
            except RowChanged as change:
                logger.info("%s is not sent: %s", row.kind.value, change)
            except PaypercallError as error:
                self._note_failure(row, error)
        return has_sent

    def _is_left_to_payee(self, row: OutboxRow) -> bool:
        """Whether a unit is posted by whom it pays: for a while, and as long as nothing must be composed after it."""
        if row.kind is not OutboxKind.UNIT_PAYMENT or row.state is not OutboxState.SIGNED:
            return False
        if row.details["is_taken_back"] or self._clock() - row.updated_at >= HANDOVER_SECONDS:
            return False
        with self._store.reading() as books:
            return all(other.state is not OutboxState.DECIDED for other in books.outbox.unfinished())

    def _step_or_consolidate(self, row: OutboxRow) -> bool:
        try:
            return self._step(row)
        except TooManyCoins as error:
            with self._store.transaction() as books:
                consolidation = consolidation_for(books, row, error, self._wallet.address, self._clock())
            logger.info("coins are consolidated for a %s: %s", row.kind.value, error)
            return self._step_or_consolidate(consolidation)

    def _step(self, row: OutboxRow) -> bool:
        if row.state is OutboxState.POSTED and self._clock() - row.updated_at < REPOST_SECONDS:
            return False
        channel = self._channel(row)
        if row.unit is None:
            if not self._is_due(row, channel):
                return False
            row = self._compose(row, channel)
            if self._is_left_to_payee(row):
                return True
        elif self._is_left_to_payee(row):
            return False
        else:
            # It may be forgotten, if it was refused before.
            self._wallet.adopt(row.unit)
        try:
            self._post(row)
        except HubRefused as refusal:
            if _is_overtaken(row, channel) or self._is_void(row):
                self._give_up(row)
                return False
            logger.warning("the hub refused a unit (%s): it is being replaced", refusal)
            if row.kind is OutboxKind.UNIT_PAYMENT:
                # Its payee waits for that very unit: no other would be paid for.
                row = self._take_back(row)
            self._post(self._compose(row, channel))
            return True
        if self._hangs(row, channel):
            self._replace_hanging(row, channel)
        return True

    def _hangs(self, row: OutboxRow, channel: Channel | None) -> bool:
        with self._store.reading() as books:
            return hangs(row, channel, books.outbox.last_signed_at(row.id), self._clock())

    def _replace_hanging(self, row: OutboxRow, channel: Channel | None) -> None:
        """Posts another unit of a row in place of one that hubs say they have, but which does not become stable."""
        assert row.unit is not None
        logger.warning("unit %s hangs: it is being replaced", row.unit["unit"])
        replacement = self._compose(row, channel)
        try:
            self._post(replacement)
        except HubRefused as refusal:
            # What builds on the ledger that has the first cannot take its place. That one is posted again, then.
            logger.info("unit %s is kept: %s", row.unit["unit"], refusal)
            self._save(replacement, row.unit)

    def _channel(self, row: OutboxRow) -> Channel | None:
        with self._store.reading() as books:
            record = books.channels.get(row.aa_address) if row.aa_address else None
        return record.channel if record else None

    def _is_due(self, row: OutboxRow, channel: Channel | None) -> bool:
        """Whether a unit of a row that has none yet would do now what was decided."""
        if _is_overtaken(row, channel) or is_too_late(row, self._clock()):
            self._give_up(row)
            return False
        # An agent that is closing would refuse a deposit, and keep the bounce fee.
        is_closing = channel is not None and (channel.freeze or channel.status is Status.CLOSING)
        return row.kind in COMMANDS or not is_closing

    def _is_void(self, row: OutboxRow) -> bool:
        """Whether a refill can be decided anew, if it is still wanted: no unit of it can be on the ledger any more."""
        has_lost = bool(row.units) and all(self._wallet.has_lost(unit) for unit in row.units)
        return row.kind is OutboxKind.REFILL and has_lost

    def _give_up(self, row: OutboxRow) -> None:
        logger.info("%s is not sent any more: it is too late for it", row.kind.value)
        with self._store.transaction() as books:
            self._lease.require(books)
            if _is_unchanged(books, row):
                books.outbox.finished(row.id, OutboxState.FAILED, self._clock())
                books.deposits.cancel(row.id)

    def _take_back(self, row: OutboxRow) -> OutboxRow:
        with self._store.transaction() as books:
            self._lease.require(books)
            # Meanwhile its payer may have noted that it was used.
            current = books.outbox.lock(row.id)
            assert current is not None, "rows of the outbox are never deleted"
            books.outbox.reopened(row.id, {**current.details, "is_taken_back": True}, self._clock())
            reopened = books.outbox.get(row.id)
            assert reopened is not None
        return reopened

    def _compose(self, row: OutboxRow, channel: Channel | None) -> OutboxRow:
        """Composes and stores a unit that takes the place of all that were ever signed for the row.

        Returns:
            The row with its unit.
        """
        with self._store.reading() as books:
            signed = books.outbox.signed_units(row.id)
        served = self._served_by(row)
        max_tps_fee, keep = self._fee_limit(served, self._channel(served)), self._bytes_to_keep(served)
        if row.kind in GATHERINGS:
            asset, address = row.details["asset"], row.details["address"]
            unit = self._wallet.gather(asset, address, instead_of=signed, max_tps_fee=max_tps_fee, keep=keep)
        else:
            # What comes too late only gives the coins back that others may build on: a command would bounce, for a fee.
            is_overtaken = _is_overtaken(row, channel)
            draft = Draft() if is_overtaken else draft_of(row, channel.parameters if channel else None)
            unit = self._wallet.compose(draft, instead_of=signed, max_tps_fee=max_tps_fee, keep=keep)
        try:
            if self._is_void(row):
                raise RowChanged("the ledger has shown that no unit of it can be there any more")
            return self._save(row, unit)
        except BaseException:
            self._wallet.forget(unit["unit"])
            raise

    def _save(self, row: OutboxRow, unit: Unit) -> OutboxRow:
        with self._store.transaction() as books:
            self._lease.require(books)
            if row.aa_address is not None:
                # Under this lock deposits are cancelled.
                books.channels.lock(row.aa_address)
            _require_unchanged(books, row)
            books.outbox.signed(row.id, unit, self._clock())
            if row.kind in DEPOSITS:
                books.deposits.set_unit(row.id, unit["unit"])
            saved = books.outbox.get(row.id)
            assert saved is not None
        return saved

    def _fee_limit(self, row: OutboxRow, channel: Channel | None) -> int:
        certain_time = self._certain_time() if row.kind is OutboxKind.CONFIRM else 0
        return tps_fee_limit(row, channel, self._spending, certain_time)

    def _served_by(self, row: OutboxRow) -> OutboxRow:
        """The row that a consolidation is made for, whose limits it has; else the row itself."""
        number = row.details["serves"] if row.kind in GATHERINGS else None
        if number is None:
            return row
        with self._store.reading() as books:
            served = books.outbox.get(number)
        return served or row

    def _bytes_to_keep(self, row: OutboxRow) -> int:
        if row.kind in COMMANDS:
            return 0
        with self._store.reading() as books:
            if row.kind is OutboxKind.SWEEP_OUT:
                require_no_need_for_reserve(books)
                return 0
            return bytes_in_reserve(books, self._spending, int(row.kind is not OutboxKind.REFILL))

    def _post(self, row: OutboxRow) -> None:
        assert row.unit is not None
        # The next holder may have replaced the unit, and sent others: what it does not know of conflicts with all.
        with self._store.transaction() as books:
            self._lease.require(books)
            _require_unchanged(books, row)
        try:
            # A hub may have taken the unit and kept it to itself.
            self._light.post(row.unit, to_all_hubs=row.state is OutboxState.POSTED)
        except HubRefused:
            # Nothing may build on it, and what it spends may be needed for a defence.
            self._wallet.forget(row.unit["unit"])
            raise
        with self._store.transaction() as books:
            self._lease.require(books)
            if _is_unchanged(books, row):
                books.outbox.posted(row.id, self._clock())
        self._next_attempt.pop(row.id, None)

    def _note_failure(self, row: OutboxRow, error: PaypercallError) -> None:
        pause = min(LONGEST_PAUSE, 2 ** min(row.attempts, 6))
        self._next_attempt[row.id] = self._clock() + pause
        logger.warning("could not send %s (attempt %d): %s", row.kind.value, row.attempts + 1, error)
        with self._store.transaction() as books:
            books.outbox.failed_attempt(row.id, str(error), self._clock())


def _is_unchanged(books: Books, row: OutboxRow) -> bool:
    """Whether no other process has gone on with a row, or taken its unit back, since it was read."""
    current = books.outbox.get(row.id)
    if current is None or current.state.is_finished:
        return False
    return (current.units, current.unit) == (row.units, row.unit)


def _require_unchanged(books: Books, row: OutboxRow) -> None:
    if not _is_unchanged(books, row):
        raise RowChanged("it was cancelled, or another process has gone on with it")


def _has_unsent_unit(row: OutboxRow) -> bool:
    """Whether a unit was signed for a row that the hub may not have, or one that is to take its place."""
    return row.state is OutboxState.SIGNED or (row.state is OutboxState.DECIDED and bool(row.units))


def _is_overtaken(row: OutboxRow, channel: Channel | None) -> bool:
    """Whether a row would only cost the bounce fee: its period has ended, or it closes one that is closing."""
    if channel is None or row.kind not in COMMANDS:
        return False
    is_closing = row.kind is OutboxKind.CLOSE and channel.status is Status.CLOSING
    return channel.period != row.period or is_closing
