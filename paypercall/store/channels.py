"""The channels' rows: load, lock and save whole `Channel` states, and find those that something is due for.

Nothing is decided here. Saving moves the totals of the asset along: at every commit these are the sums over the
channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from sqlalchemy import and_, bindparam, func, select, text, union, update

from paypercall.channel import NEVER, UNTOLD, Channel, Status
from paypercall.store.channel_rows import RECORD, ChannelRecord, Refill, record_of, state_of
from paypercall.store.errors import StoreError
from paypercall.store.schema import channels
from paypercall.store.statements import Connection, Statement, adding_unless_there, one_of
from paypercall.store.totals import Totals

_BATCH = 200


class Channels:
    """The channels, within one transaction."""

    def __init__(self, connection: Connection, totals: Totals) -> None:
        self._connection = connection
        self._totals = totals
        self._locked: dict[str, Channel] = {}

    def lock(self, aa_address: str) -> ChannelRecord | None:
        """Loads a channel and keeps all others from changing it until the transaction ends.

        A transaction that locks several must do so in the order of their addresses, and before it saves any, or
        two can wait for each other.
        """
        row = self._connection.first(_LOCK, {"key": aa_address})
        if row is None:
            return None
        record = record_of(row)
        self._locked[aa_address] = record.channel
        return record

    def get(self, aa_address: str) -> ChannelRecord | None:
        """Loads a channel without locking it; what it says may be out of date at once."""
        row = self._connection.first(_GET, {"key": aa_address})
        return None if row is None else record_of(row)

    def add(self, channel: Channel, *, created_at: int, refill: Refill | None = None) -> bool:
        """Adds a channel, which is locked from then on.

        Returns:
            False when it is there already; then nothing has changed.
        """
        parameters = channel.parameters
        row = {
            "aa_address": channel.aa_address,
            "my_address": channel.my_address,
            "peer_address": channel.peer_address,
            **asdict(parameters),
            **state_of(channel),
            "refill_deposit_amount": refill.deposit_amount if refill else None,
            "refill_threshold": refill.threshold if refill else None,
            "opened_at": None,
            "created_at": created_at,
        }
        if not self._connection.change(_ADD, row):
            return False
        self._totals.move(parameters.asset, channel.counted_exposure, channel.unsettled)
        self._locked[channel.aa_address] = channel
        return True

    def save(self, before: Channel, after: Channel) -> None:
        """Saves what has changed between two states of a locked channel, and moves the asset's totals by it.

        Args:
            before: As `lock` gave it or as it was saved last in this transaction.
            after: The new state.

        Raises:
            StoreError: With `not_locked`, when `before` is not what this transaction holds.
        """
        aa_address = before.aa_address
        if self._locked.get(aa_address) != before:
            raise StoreError(
                "the channel was not locked in this transaction before saving", code="not_locked"
            )
        if after is before:
            return
        if (after.parameters, after.my_address) != (before.parameters, before.my_address):
            raise ValueError("a channel cannot be saved as another one")
        old, new = state_of(before), state_of(after)
        changed = {name: value for name, value in new.items() if value != old[name]}
        if changed:
            self._connection.change(_update_of(tuple(changed)), {**changed, "key": aa_address})
            self._totals.move(
                after.parameters.asset, new["exposure"] - old["exposure"], new["unsettled"] - old["unsettled"]
            )
        self._locked[aa_address] = after

    def set_refill(self, aa_address: str, refill: Refill | None) -> None:
        """Sets how a channel is filled up."""
        values = {
            "refill_deposit_amount": refill.deposit_amount if refill else None,
            "refill_threshold": refill.threshold if refill else None,
        }
        self._set(aa_address, values)

    def set_opened_at(self, aa_address: str, opened_at: int | None) -> None:
        """Sets when the current period opened, in seconds."""
        self._set(aa_address, {"opened_at": opened_at})

    def _set(self, aa_address: str, values: dict[str, Any]) -> None:
        self._connection.change(_update_of(tuple(values)), {**values, "key": aa_address})

    def between(self, my_address: str, peer_address: str, asset: str) -> list[ChannelRecord]:
        """The channels of two parties in an asset, the newest first."""
        return self._all(_BETWEEN, {"mine": my_address, "peers": peer_address, "asset": asset})

    def addresses(self, my_address: str) -> list[str]:
        """The addresses of all my channels."""
        return self._connection.values(_ADDRESSES, {"mine": my_address})

    def complete_by(self, my_address: str, time: int) -> list[str]:
        """The addresses of my channels that were added before a time and of which no answer is missing.

        Args:
            my_address: Whose channels.
            time: Seconds, the adder's clock.
        """
        return self._connection.values(_COMPLETE_BY, {"mine": my_address, "time": time})

    def doubted(self, my_address: str) -> list[str]:
        """The addresses of my channels of which not all that the agent has answered could be read."""
        return self._connection.values(_DOUBTED, {"mine": my_address})

    def added_since(self, my_address: str, time: int) -> list[str]:
        """The addresses of my channels that were added at a time (seconds, the adder's clock) or later."""
        return self._connection.values(_ADDED_SINCE, {"mine": my_address, "time": time})

    def records(self, my_address: str, *, status: Status | None = None) -> Iterator[ChannelRecord]:
        """All my channels in the order of their addresses, or those of one status; loaded batch by batch."""
        statement = _RECORDS if status is None else _RECORDS_BY_STATUS
        parameters = {"mine": my_address, "after": ""}
        if status is not None:
            parameters["status"] = status.value
        while batch := self._all(statement, parameters):
            yield from batch
            parameters["after"] = batch[-1].channel.aa_address

    def count_not_closed(self) -> int:
        """How many channels are open or closing."""
        return int(self._connection.value(_COUNT_NOT_CLOSED, {}))

    def count_opened_since(self, time: int, *, at_most: int) -> int:
        """How many periods that opened at a time (seconds) or later are not closed; counts no further than told."""
        return int(self._connection.value(_COUNT_OPENED_SINCE, {"time": time, "limit": at_most}))

    def count_at_stake(self) -> int:
        """In how many channels that are open or closing there is anything at stake for me.

        At stake is what I have deposited and what the peer owes me.
        """
        return int(self._connection.value(_COUNT_AT_STAKE, {}))

    def sum_at_stake(self, asset: str, *, below: int) -> tuple[int, int]:
        """The sum of what is at stake in those of these channels that pay me in an asset, and their number.

        Args:
            asset: The asset.
            below: Leaves out the channels in which there is so much of it at stake, or more.
        """
        row = self._connection.first(_SUM_AT_STAKE, {"asset": asset, "below": below})
        assert row is not None, "a sum is one row"
        return int(row[0]), int(row[1])

    def due_for_sweep(self, asset: str, cost: int, opened_before: int, limit: int) -> list[ChannelRecord]:
        """As `above_unsettled`, of the channels alone that opened before a time (seconds)."""
        values = {"asset": asset, "amount": cost, "before": opened_before, "limit": limit}
        return self._all(_DUE_FOR_SWEEP, values)

    def above_unsettled(self, asset: str, amount: int, limit: int) -> list[ChannelRecord]:
        """Open channels, not about to close, in which more than `amount` is unsettled; the most first."""
        return self._all(_ABOVE_UNSETTLED, {"asset": asset, "amount": amount, "limit": limit})

    def sum_unsettled(self, asset: str, least: int) -> int:
        """The sum of what is unsettled in the channels of an asset that have more than `least` unsettled."""
        return int(self._connection.value(_SUM_UNSETTLED, {"asset": asset, "amount": least}))

    def sum_to_sweep(self, asset: str, least: int) -> int:
        """As `sum_unsettled`, of the channels alone that can be closed and are not about to be."""
        return int(self._connection.value(_SUM_TO_SWEEP, {"asset": asset, "amount": least}))

    def with_refill(self, my_address: str) -> list[ChannelRecord]:
        """My channels that are filled up, in the order of their addresses."""
        return self._all(_WITH_REFILL, {"mine": my_address})

    def closing(self, my_address: str) -> list[ChannelRecord]:
        """My channels that the agent is closing, or that I decided to close or to answer a close of."""
        return self._all(_CLOSING, {"mine": my_address})

    def wholly_distrusted(self, my_address: str) -> list[ChannelRecord]:
        """My channels of which no period is known to be safe, in the order of their addresses."""
        return self._all(_WHOLLY_DISTRUSTED, {"mine": my_address})

    def _all(self, statement: Statement, parameters: dict[str, Any]) -> list[ChannelRecord]:
        return [record_of(row) for row in self._connection.all(statement, parameters)]


@lru_cache(maxsize=256)
def _update_of(names: tuple[str, ...]) -> Statement:
    return Statement(
        update(channels)
        .where(channels.c.aa_address == bindparam("key"))
        .values({name: bindparam(name) for name in names})
    )


_IS_MINE = channels.c.my_address == bindparam("mine")
# All channels of most databases are mine, and open. SQLite would take the index of such a condition all the same and
# read them all; a computed value has none, so that the few that are looked for are found by their own.
_IS_MINE_BESIDES = channels.c.my_address.concat("") == bindparam("mine")
_IS_USABLE = and_(
    channels.c.status == Status.OPEN.value,
    channels.c.freeze_decision.is_(None),
    channels.c.period >= channels.c.signs_from_period,
)
_ONE = RECORD.where(channels.c.aa_address == bindparam("key"))
_BATCHES = (
    RECORD.where(_IS_MINE_BESIDES, channels.c.aa_address > bindparam("after"))
    .order_by(channels.c.aa_address)
    .limit(_BATCH)
)

_ADD = adding_unless_there(channels)
_GET = Statement(_ONE)
_LOCK = Statement(_ONE.with_for_update(of=channels))
_BETWEEN = Statement(
    RECORD.where(
        _IS_MINE, channels.c.peer_address == bindparam("peers"), channels.c.asset == bindparam("asset")
    ).order_by((channels.c.created_at + 0).desc(), channels.c.aa_address)
)
_ADDRESSES = Statement(select(channels.c.aa_address).where(_IS_MINE).order_by(channels.c.aa_address))
_ADDED_SINCE = Statement(
    select(channels.c.aa_address).where(_IS_MINE, channels.c.created_at >= bindparam("time"))
)
_COMPLETE_BY = Statement(
    select(channels.c.aa_address)
    .where(
        _IS_MINE,
        channels.c.created_at < bindparam("time"),
        channels.c.known_event_id == channels.c.last_event_id,
    )
    .order_by(channels.c.aa_address)
)
_DOUBTED = Statement(select(channels.c.aa_address).where(_IS_MINE, channels.c.known_event_id == UNTOLD))
_RECORDS = Statement(_BATCHES)
_RECORDS_BY_STATUS = Statement(_BATCHES.where(channels.c.status.concat("") == bindparam("status")))
_IS_NOT_CLOSED = one_of(channels.c.status, [Status.OPEN.value, Status.CLOSING.value])
_COUNT_NOT_CLOSED = Statement(select(func.count()).select_from(channels).where(_IS_NOT_CLOSED))
_COUNT_OPENED_SINCE = Statement(
    select(func.count()).select_from(
        select(channels.c.aa_address)
        .where(_IS_NOT_CLOSED, channels.c.opened_at >= bindparam("time"))
        .limit(bindparam("limit"))
        .subquery()
    )
)
_AT_STAKE = channels.c.deposited_by_me + channels.c.unsettled
_IS_AT_STAKE = and_(_IS_NOT_CLOSED, _AT_STAKE > 0)
_COUNT_AT_STAKE = Statement(select(func.count()).select_from(channels).where(_IS_AT_STAKE))
_SUM_AT_STAKE = Statement(
    select(func.coalesce(func.sum(_AT_STAKE), 0), func.count()).where(
        _IS_AT_STAKE,
        channels.c.asset == bindparam("asset"),
        channels.c.address_a == channels.c.my_address,
        bindparam("below") > _AT_STAKE,
    )
)
_OWES_MORE = and_(
    channels.c.asset == bindparam("asset"),
    text("unsettled > 0"),  # as in the index, which SQLite would not use otherwise
    channels.c.unsettled > bindparam("amount"),
)
_ABOVE_UNSETTLED = Statement(
    RECORD.where(_IS_USABLE, _OWES_MORE).order_by(channels.c.unsettled.desc()).limit(bindparam("limit"))
)
# What is not worth a sweep must take no other channel's place in a list with a limit, so it is left out here.
_DUE_FOR_SWEEP = Statement(
    RECORD.where(_IS_USABLE, _OWES_MORE, channels.c.opened_at < bindparam("before"))
    .order_by(channels.c.unsettled.desc(), channels.c.opened_at)
    .limit(bindparam("limit"))
)
_SUM_UNSETTLED = Statement(select(func.coalesce(func.sum(channels.c.unsettled), 0)).where(_OWES_MORE))
_SUM_TO_SWEEP = Statement(
    select(func.coalesce(func.sum(channels.c.unsettled), 0)).where(_IS_USABLE, _OWES_MORE)
)
_WITH_REFILL = Statement(
    RECORD.where(
        _IS_MINE_BESIDES,
        channels.c.aa_address.in_(
            select(channels.c.aa_address).where(channels.c.refill_threshold.is_not(None))
        ),
    ).order_by(channels.c.aa_address)
)
_WHOLLY_DISTRUSTED = Statement(
    # Spelled as in the index, which is not used for a bound value.
    RECORD.where(_IS_MINE, text(f"signs_from_period = {NEVER}")).order_by(channels.c.aa_address)
)
# Each of the two has an index, which SQLite uses for neither in a condition with "or".
_CLOSING_ADDRESSES = union(
    select(channels.c.aa_address).where(channels.c.status == Status.CLOSING.value),
    select(channels.c.aa_address).where(channels.c.freeze_decision.is_not(None)),
)
_CLOSING = Statement(
    RECORD.where(_IS_MINE_BESIDES, channels.c.aa_address.in_(_CLOSING_ADDRESSES)).order_by(
        channels.c.aa_address
    )
)
