"""The body of a request, which whoever charges for it reads before the application does."""

from __future__ import annotations

from collections import deque

from starlette.types import Message, Receive

from paypercall.paywall import Answer
from paypercall.paywall.answer import body_too_large
from paypercall.paywall.request import MAX_PAID_BODY


class Stop(Exception):
    """Ends a view before it begins: the paywall answers itself."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class Body:
    """A request's body, which is read ahead and still reaches the application as it came."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ahead: deque[Message] = deque()
        self._parts: list[bytes] = []
        self._size = 0
        self._is_whole = False
        self.is_client_gone = False

    async def receive(self) -> Message:
        """The next message for the application."""
        return self._ahead.popleft() if self._ahead else await self._next()

    async def beginning(self, size: int) -> bytes:
        """Its first bytes, for who answers without the application."""
        while not self._is_whole and self._size < size:
            if (await self._next())["type"] != "http.request":
                break
        return b"".join(self._parts)[:size]

    async def whole(self) -> bytes | None:
        """All of it, whoever has read it before; None if it is too large, or the client has gone."""
        while not self._is_whole:
            message = await self._next()
            self._ahead.append(message)
            if message["type"] != "http.request" or self._size > MAX_PAID_BODY:
                return None
        return None if self._size > MAX_PAID_BODY else b"".join(self._parts)

    async def again(self) -> Message:
        """All of it in one message, for who looks at it besides the application.

        Raises:
            Stop: When it cannot be read.
        """
        body = await self.whole()
        if body is None:
            raise Stop(body_too_large())
        return {"type": "http.request", "body": body, "more_body": False}

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            part = message.get("body", b"")
            self._size += len(part)
            if self._size <= MAX_PAID_BODY:
                self._parts.append(part)
            else:
                self._parts.clear()
            self._is_whole = not message.get("more_body", False)
        else:
            self.is_client_gone = True
        return message
