"""How far on the main chain the ledger is taken into the books."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sqlalchemy import bindparam, select

from paypercall.store.schema import positions
from paypercall.store.statements import Connection, Statement, adding_or


class Subject(Enum):
    """Whose part of the ledger."""

    WALLET = "wallet"
    CHANNELS = "channels"


@dataclass(frozen=True, slots=True)
class Position:
    """A main chain index up to which all is taken.

    Attributes:
        hub: The address of the hub that told it: another one may count differently.
        main_chain_index: That index.
        listed_at: Seconds; of the channels, it is true of those that were in the books by then.
    """

    hub: str
    main_chain_index: int
    listed_at: int


class Positions:
    """The positions, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, subject: Subject) -> Position | None:
        """How far a subject's part of the ledger is taken, or None if that is not known."""
        row = self._connection.first(_GET, {"key": subject.value})
        return None if row is None else Position(*row)

    def put(self, subject: Subject, position: Position) -> None:
        """Notes how far a subject's part of the ledger is taken."""
        row = {
            "subject": subject.value,
            "hub": position.hub,
            "main_chain_index": position.main_chain_index,
            "listed_at": position.listed_at,
        }
        self._connection.change(_PUT, row)


_GET = Statement(
    select(positions.c.hub, positions.c.main_chain_index, positions.c.listed_at).where(
        positions.c.subject == bindparam("key")
    )
)
_PUT = adding_or(
    positions,
    lambda insert: insert.on_conflict_do_update(
        index_elements=[positions.c.subject],
        set_={name: insert.excluded[name] for name in ("hub", "main_chain_index", "listed_at")},
    ),
)
