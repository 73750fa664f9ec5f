"""Bodies of requests that can be sent again, whatever they come from. Knows no HTTP library.

What can be read once only is kept while it is read for the first time: in memory, and beyond a megabyte in a file. So
a request is always sent as it is meant, since one without its body might do something else.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import Any, Protocol

CHUNK = 64 * 1024
_IN_MEMORY = 1024 * 1024


class SeekableFile(Protocol):
    """A file that can be read again."""

    def read(self, size: int, /) -> Any:
        """Reads so many bytes at most."""

    def seek(self, position: int, /) -> Any:
        """Goes to a position."""

    def tell(self) -> int:
        """The position."""


class Kept:
    """A body that can be read once only, and is kept.

    Args:
        source: Its parts, of bytes.
    """

    def __init__(self, source: Iterator[bytes] | AsyncIterator[bytes]) -> None:
        self._source = source
        self._kept = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
        self._failure: Exception | None = None

    def __iter__(self) -> Iterator[bytes]:
        """What was read before, and then the rest of the source."""
        source = self._source
        assert isinstance(source, Iterator)
        yield from self._again()
        while True:
            try:
                part = next(source)
            except StopIteration:
                return
            except Exception as error:
                self._failure = error
                raise
            self._kept.write(part)
            yield part

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """What was read before, and then the rest of the source."""
        source = self._source
        assert isinstance(source, AsyncIterator)
        for part in self._again():
            yield part
        while True:
            try:
                part = await anext(source)
            except StopAsyncIteration:
                return
            except Exception as error:
                self._failure = error
                raise
            self._kept.write(part)
            yield part

    def close(self) -> None:
        """Forgets what was kept."""
        self._kept.close()

    def _again(self) -> Iterator[bytes]:
        position = 0
        while True:
            self._kept.seek(position)
            part = self._kept.read(CHUNK)
            if not part and self._failure is not None:
                raise self._failure  # what was read is not all: without this it would pass for the whole body
            if not part:
                return
            position += len(part)
            yield part


class KeptBody:
    """What is kept of a body that can be read once only, for the redirections that carry it on."""

    def __init__(self) -> None:
        self._source: object = None
        self._kept: Kept | None = None

    def of(self, source: object, begin: Callable[[], Kept], *, is_once: bool = True) -> Kept | None:
        """What is kept of a body, from its first request on.

        Args:
            source: The library's own body.
            begin: Begins to keep it.
            is_once: Whether it can be read once only; if not, it is read again for a call that begins anew.

        Returns:
            None if it was read for a call that is over: it is lost, and nothing must be paid for a call without it.
        """
        if source is not self._source or (self._kept is None and not is_once):
            self._source, self._kept = source, begin()
        return self._kept

    def forget(self) -> None:
        """Forgets what is kept, once nothing follows that carries it on."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None


@dataclass(frozen=True, slots=True)
class Traits:
    """What is known of a body before it is sent.

    Attributes:
        digest: Its sha256, or None if it can be read once only: then no other is the same.
        is_large: Whether it should not be sent only to learn what that costs.
    """

    digest: bytes | None = None
    is_large: bool = True

    @classmethod
    def of(cls, body: bytes | str | None) -> Traits:
        """Those of a body that is at hand."""
        body = body or b""
        body = body.encode() if isinstance(body, str) else body
        return cls(hashlib.sha256(body).digest(), len(body) > CHUNK)

    @classmethod
    def of_file(cls, file: SeekableFile) -> Traits:
        """Those of the rest of a file, which stays where it is."""
        start, size = file.tell(), 0
        digest = hashlib.sha256()
        while part := file.read(CHUNK):
            size += len(part)
            digest.update(part.encode() if isinstance(part, str) else part)
        file.seek(start)
        return cls(digest.digest(), size > CHUNK)
