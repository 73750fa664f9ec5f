"""Whether these books are the newest ones. An older copy, or another database on the same keys, is found out by a
marker file beside the keys; then no channel is signed in or closed before its next period.

The marker counts with the books, once a minute. What was signed within the minute of a backup cannot be told: an old
copy is never to be restored while channels are open.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from paypercall.channel import NEVER, distrust, restore
from paypercall.errors import PaypercallError
from paypercall.store import Books, Store

logger = logging.getLogger(__name__)

MARKER_FILE = "node.json"
NOTE_SECONDS = 60
"""How often the marker is renewed."""


class MarkerUnreadable(PaypercallError):
    """The marker file is damaged."""

    code = "marker_unreadable"


@dataclass(frozen=True, slots=True)
class Marker:
    """Which books were last used with the keys, and how far they had got."""

    database_id: str
    generation: int


class Memory:
    """Compares the books with the marker, and renews it.

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
                for record in books.channels.records(identity.my_address):
                    locked = books.channels.lock(record.channel.aa_address)
                    assert locked is not None
                    books.channels.save(locked.channel, distrust(locked.channel))
            generation = (
                identity.generation if marker is None else max(identity.generation, marker.generation)
            )
            books.node.set_generation(generation)
        if not is_newest:
            logger.warning(
                "the books are %s: in restore mode, channels are neither signed in nor closed before their next period",
                "an older copy" if is_same else "not the ones last used with these keys",
            )
        self._write(Marker(identity.database_id, generation))
        return is_newest

    def restore_channels(self, books: Books, my_address: str) -> None:
        """Lets distrusted channels be used from their next period on, once the ledger has told the current one."""
        for record in books.channels.records(my_address):
            if record.channel.signs_from_period == NEVER:
                locked = books.channels.lock(record.channel.aa_address)
                assert locked is not None
                books.channels.save(locked.channel, restore(locked.channel))

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
