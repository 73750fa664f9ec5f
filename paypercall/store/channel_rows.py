"""A channel and its row: how a whole `Channel` state becomes columns, and columns become one again.

Nothing is loaded or saved here.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, exists, select

from paypercall.channel import Channel, Decision, Freeze, PendingClose, Status
from paypercall.contract import ChannelParameters
from paypercall.store.schema import channels, unconfirmed_units
from paypercall.store.statements import Row


@dataclass(frozen=True, slots=True)
class Refill:
    """How a channel of mine is filled up: `deposit_amount` more when less than `threshold` is left."""

    deposit_amount: int
    threshold: int


@dataclass(frozen=True, slots=True)
class ChannelRecord:
    """A channel and what the store keeps beside it.

    Attributes:
        channel: Its state.
        refill: How it is filled up, if at all.
        opened_at: When this period opened, in seconds, or None.
        created_at: When this node first knew it.
        has_unconfirmed: Whether a unit to its agent is known that the agent has not answered.
    """

    channel: Channel
    refill: Refill | None
    opened_at: int | None
    created_at: int
    has_unconfirmed: bool


_HAS_UNCONFIRMED = exists().where(unconfirmed_units.c.aa_address == channels.c.aa_address)

RECORD: Select[Any] = select(channels, _HAS_UNCONFIRMED.label("has_unconfirmed"))
"""Selects what `record_of` takes; to be narrowed down."""

_NAMES = [column.name for column in RECORD.selected_columns]


def record_of(row: Row) -> ChannelRecord:
    """The channel of a row that `RECORD` has selected."""
    values = dict(zip(_NAMES, row, strict=True))
    refill = None
    if values["refill_threshold"] is not None:
        refill = Refill(values["refill_deposit_amount"], values["refill_threshold"])
    return ChannelRecord(
        _channel(values),
        refill,
        values["opened_at"],
        values["created_at"],
        bool(values["has_unconfirmed"]),
    )


def _channel(values: dict[str, Any]) -> Channel:
    freeze = close = None
    if values["freeze_decision"] is not None:
        freeze = Freeze(
            Decision(values["freeze_decision"]),
            values["freeze_signed_by_me"],
            values["freeze_signed_by_peer"],
        )
    if values["close_timestamp"] is not None:
        close = PendingClose(
            bool(values["close_initiated_by_me"]),
            values["close_owed_by_me"],
            values["close_owed_by_peer"],
            values["close_timestamp"],
        )
    return Channel(
        parameters=_parameters(*(values[name] for name in _PARAMETERS)),
        my_address=values["my_address"],
        period=values["period"],
        status=Status(values["status"]),
        last_event_id=values["last_event_id"],
        known_event_id=values["known_event_id"],
        deposited_by_me=values["deposited_by_me"],
        deposited_by_peer=values["deposited_by_peer"],
        signed_by_me=values["signed_by_me"],
        signed_by_peer=values["signed_by_peer"],
        accepted_from_peer=values["accepted_from_peer"],
        last_package=values["last_package"],
        is_known_by_peer=bool(values["is_known_by_peer"]),
        signs_from_period=values["signs_from_period"],
        written_off=values["written_off"],
        freeze=freeze,
        pending_close=close,
    )


_PARAMETERS = tuple(field.name for field in fields(ChannelParameters))


@lru_cache(maxsize=4096)
def _parameters(*values: Any) -> ChannelParameters:
    """Makes the same parameters once only, because they keep their address once it is computed."""
    return ChannelParameters(*values)


def state_of(channel: Channel) -> dict[str, Any]:
    """The columns that follow from a channel's state, which all but its parameters is."""
    freeze, close = channel.freeze, channel.pending_close
    return {
        "period": channel.period,
        "status": channel.status.value,
        "last_event_id": channel.last_event_id,
        "known_event_id": channel.known_event_id,
        "deposited_by_me": channel.deposited_by_me,
        "deposited_by_peer": channel.deposited_by_peer,
        "signed_by_me": channel.signed_by_me,
        "signed_by_peer": channel.signed_by_peer,
        "accepted_from_peer": channel.accepted_from_peer,
        "last_package": channel.last_package,
        "is_known_by_peer": channel.is_known_by_peer,
        "signs_from_period": channel.signs_from_period,
        "written_off": channel.written_off,
        "freeze_decision": freeze.decision.value if freeze else None,
        "freeze_signed_by_me": freeze.signed_by_me if freeze else None,
        "freeze_signed_by_peer": freeze.signed_by_peer if freeze else None,
        "close_initiated_by_me": close.initiated_by_me if close else None,
        "close_owed_by_me": close.owed_by_me if close else None,
        "close_owed_by_peer": close.owed_by_peer if close else None,
        "close_timestamp": close.timestamp if close else None,
        "exposure": channel.counted_exposure,
        "unsettled": channel.unsettled,
    }
