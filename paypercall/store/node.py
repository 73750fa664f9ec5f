"""Which node this database belongs to. Fixed once; what a mismatch means is decided by the caller."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import bindparam, select, update

from paypercall.store.schema import node
from paypercall.store.statements import Connection, Statement, adding_unless_there

_ONLY = 1


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """The identity of a node's database.

    Attributes:
        database_id: Random, made with the database, so that a copy can be told from a second one.
        network_version: The network's unit version.
        my_address: The node's address.
        generation: Counted up as time goes by, so that an older copy can be told.
        complete_since: Seconds; all that this wallet did since then is in these books. When they began or, if they
            turned out not to be the newest, when that was found out.
    """

    database_id: str
    network_version: str
    my_address: str
    generation: int
    complete_since: int


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """What the lease holder notes for all processes.

    Attributes:
        is_below_reserve: Whether the wallet was last seen to hold less than its reserve.
        synced_at: When the ledger was last seen, in seconds, or None if never.
    """

    is_below_reserve: bool
    synced_at: int | None


class Node:
    """The node's row, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def identity(self) -> NodeIdentity | None:
        """The identity, or None before it is claimed."""
        row = self._connection.first(_IDENTITY, {})
        return None if row is None else NodeIdentity(*row)

    def claim(self, network_version: str, my_address: str, now: int) -> NodeIdentity:
        """Creates the identity if there is none.

        Returns:
            The one that is there now, which may be another's.
        """
        row = {
            "id": _ONLY,
            "database_id": secrets.token_hex(16),
            "network_version": network_version,
            "my_address": my_address,
            "generation": 1,
            "is_below_reserve": False,
            "synced_at": None,
            "created_at": now,
            "max_sweeping_period": None,
            "genesis_unit": None,
        }
        self._connection.change(_CLAIM, row)
        identity = self.identity()
        assert identity is not None
        return identity

    def claim_network(self, genesis_unit: str) -> str:
        """Notes the first unit of the network, if the books know none yet.

        Returns:
            The one that they know now, which may be another network's.
        """
        self._connection.change(_CLAIM_NETWORK, {"value": genesis_unit})
        return str(self._connection.value(_GENESIS_UNIT, {}))

    def lock(self) -> None:
        """Keeps all others from locking the node until the transaction ends, to decide over several channels.

        To be locked before any channel.
        """
        self._connection.first(_LOCK, {})

    def health(self) -> NodeHealth:
        """What keeps the node from taking payments, if anything."""
        row = self._connection.first(_HEALTH, {})
        return NodeHealth(False, None) if row is None else NodeHealth(bool(row[0]), row[1])

    def set_below_reserve(self, is_below_reserve: bool) -> None:
        """Notes whether the wallet holds less than its reserve."""
        self._connection.change(_SET_BELOW_RESERVE, {"value": is_below_reserve})

    def set_synced_at(self, now: int) -> None:
        """Notes that the ledger was seen, in seconds."""
        self._connection.change(_SET_SYNCED_AT, {"value": now})

    def max_sweeping_period(self) -> int | None:
        """The seconds that a channel may stay open, or None as long as no server has said so."""
        seconds: int | None = self._connection.value(_MAX_SWEEPING_PERIOD, {})
        return seconds

    def set_max_sweeping_period(self, seconds: int) -> None:
        """Sets how long a channel may stay open."""
        self._connection.change(_SET_MAX_SWEEPING_PERIOD, {"value": seconds})

    def set_generation(self, generation: int) -> None:
        """Notes how far the books have got."""
        self._connection.change(_SET_GENERATION, {"value": generation})

    def set_complete_since(self, time: int) -> None:
        """Notes since when the books are complete, in seconds."""
        self._connection.change(_SET_COMPLETE_SINCE, {"value": time})


_IDENTITY = Statement(
    select(
        node.c.database_id, node.c.network_version, node.c.my_address, node.c.generation, node.c.created_at
    )
)
_CLAIM = adding_unless_there(node)
_CLAIM_NETWORK = Statement(
    update(node).where(node.c.genesis_unit.is_(None)).values(genesis_unit=bindparam("value"))
)
_GENESIS_UNIT = Statement(select(node.c.genesis_unit))
_LOCK = Statement(select(node.c.id).with_for_update())
_HEALTH = Statement(select(node.c.is_below_reserve, node.c.synced_at))
_SET_BELOW_RESERVE = Statement(update(node).values(is_below_reserve=bindparam("value")))
_SET_SYNCED_AT = Statement(update(node).values(synced_at=bindparam("value")))
_MAX_SWEEPING_PERIOD = Statement(select(node.c.max_sweeping_period))
_SET_MAX_SWEEPING_PERIOD = Statement(update(node).values(max_sweeping_period=bindparam("value")))
_SET_GENERATION = Statement(update(node).values(generation=bindparam("value")))
_SET_COMPLETE_SINCE = Statement(update(node).values(created_at=bindparam("value")))
