"""Whether these books are the newest ones. An older copy, or another database on the same keys, is found out by two
witnesses; then no channel is signed in or closed before its next period.

One is a marker file beside the keys, which counts with the books, once a minute. The other is the ledger: other books
made whatever unit of this wallet to one of its channels is not in the outbox. What was signed off the ledger since a
copy was made cannot be told by it, and an old marker may come with an old copy: none is ever to be restored while
channels are open.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from paypercall.channel import distrust, distrust_current_period
from paypercall.contract import read_trigger
from paypercall.errors import PaypercallError
from paypercall.obyte.proof import History, HistoryUnit
from paypercall.settlement.lease import Lease
from paypercall.store import Books, Store

logger = logging.getLogger(__name__)

MARKER_FILE = "node.json"
NOTE_SECONDS = 60
"""How often the marker is renewed."""

_CONSEQUENCE = "in restore mode, channels are neither signed in nor closed before their next period"


class MarkerUnreadable(PaypercallError):
    """The marker file is damaged."""

    code = "marker_unreadable"


@dataclass(frozen=True, slots=True)
class Marker:
    """Which books were last used with the keys, and how far they had got."""

    database_id: str
    generation: int


class Memory:
    """Compares the books with the marker, which it renews, and with the ledger.

    Args:
        store: The books, claimed.
        folder: Where the keys are.
        clock: Seconds.
    """

    def __init__(self, store: Store, folder: Path, clock: Callable[[], int]) -> None:
        self._store = store
        self._path = folder / MARKER_FILE
        self._clock = clock
        self._noted_at = -NOTE_SECONDS

    def check(self) -> bool:
        """Puts all channels out of use if the books are not the newest; called before anything is signed.

        Returns:
            Whether the books can be trusted.

        Raises:
            MarkerUnreadable: When the marker is damaged.
        """
        marker = self._read()
        with self._store.transaction() as books:
            books.node.lock()
            identity = books.node.identity()
            assert identity is not None, "the books are claimed before they are checked"
            is_same = marker is None or marker.database_id == identity.database_id
            is_newest = marker is None or (is_same and marker.generation <= identity.generation)
            if not is_newest:
                _distrust_all(books, identity.my_address, self._clock())
            generation = (
                identity.generation if marker is None else max(identity.generation, marker.generation)
            )
            books.node.set_generation(generation)
        if not is_newest:
            logger.warning(
                "the books are %s: %s",
                "an older copy" if is_same else "not the ones last used with these keys",
                _CONSEQUENCE,
            )
        self._write(Marker(identity.database_id, generation))
        return is_newest

    def compare(self, history: History, lease: Lease) -> None:
        """Puts all channels out of use if this wallet sent a unit to one of them that the outbox does not know.

        Every unit is in there before it is posted, so other books have made that one. What pays to anybody else proves
        nothing, since the host may use the wallet itself; nor does what is older than these books: the channels from
        then are taken up as forgotten.

        Raises:
            LeaseLost: When another process has taken over, which may have looked since.
        """
        with self._store.reading() as books:
            strange = self._units_of_other_books(books, history)
            has_looked_before = books.node.health().synced_at is not None
        if not strange:
            return
        newest = max(entry.unit["timestamp"] for entry in strange)
        with self._store.transaction() as books:
            lease.require(books)
            books.node.lock()
            identity = books.node.identity()
            assert identity is not None
            if not has_looked_before:
                # Books that are new have nothing to forget; their clock is only behind the ledger's.
                books.node.set_complete_since(newest + 1)
                return
            _distrust_all(books, identity.my_address, max(newest + 1, self._clock()))
        logger.error(
            "unit %s, of this wallet to one of its channels, is not in the books: they are an older copy, or others are"
            " in use with these keys: %s",
            strange[-1].hash,
            _CONSEQUENCE,
        )

    def _units_of_other_books(self, books: Books, history: History) -> list[HistoryUnit]:
        identity = books.node.identity()
        assert identity is not None
        return [
            entry
            for entry in history.units
            if entry.unit["authors"][0]["address"] == identity.my_address
            and entry.is_signature_checked
            and entry.unit["timestamp"] >= identity.complete_since
            and books.outbox.by_unit(entry.hash) is None
            and _triggers_channel(books, entry)
        ]

    def trust_next_periods(self, books: Books, my_address: str, is_up_to_date: Callable[[str], bool]) -> None:
        """Lets distrusted channels be used from their next period on, once the ledger has told the current one.

        Args:
            books: Within a transaction.
            my_address: The wallet's.
            is_up_to_date: Tells of a channel whether all that the ledger shows of it is taken.
        """
        for record in books.channels.wholly_distrusted(my_address):
            if is_up_to_date(record.channel.aa_address):
                locked = books.channels.lock(record.channel.aa_address)
                assert locked is not None
                books.channels.save(locked.channel, distrust_current_period(locked.channel))

    def note(self) -> None:
        """Renews the marker once a minute; called by the lease holder."""
        if self._clock() - self._noted_at < NOTE_SECONDS:
            return
        with self._store.transaction() as books:
            books.node.lock()
            identity = books.node.identity()
            assert identity is not None
            generation = identity.generation + 1
            books.node.set_generation(generation)
        # After the commit: the marker must never be ahead of books that are the newest.
        self._write(Marker(identity.database_id, generation))
        self._noted_at = self._clock()

    def _read(self) -> Marker | None:
        try:
            fields = json.loads(self._path.read_text(encoding="utf-8"))
            return Marker(str(fields["database_id"]), int(fields["generation"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            raise MarkerUnreadable(
                f"{self._path} is damaged; if the database is the newest one, delete the file and start again"
            ) from None

    def _write(self, marker: Marker) -> None:
        text = json.dumps({"database_id": marker.database_id, "generation": marker.generation})
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=MARKER_FILE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, self._path)


def _triggers_channel(books: Books, entry: HistoryUnit) -> bool:
    """Whether a unit is sent to the agent of a channel in the books."""
    records = [books.channels.get(address) for address in sorted(entry.addresses)]
    return any(record and read_trigger(record.channel.parameters, entry.unit) for record in records)


def _distrust_all(books: Books, my_address: str, now: int) -> None:
    """Puts all channels out of use; what is older than that, these books may not know."""
    for record in books.channels.records(my_address):
        locked = books.channels.lock(record.channel.aa_address)
        assert locked is not None
        books.channels.save(locked.channel, distrust(locked.channel))
    books.node.set_complete_since(now)
