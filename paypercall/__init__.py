"""Micropayments for any API: no account, no registration, no intermediary.

The names below are all that most hosts need. They are brought in when they are first used, so that importing
the package costs next to nothing and never imports a framework or a database driver that the host does not
use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from paypercall.errors import PaypercallError

if TYPE_CHECKING:
    from paypercall.asynchronous import AsyncClient, AsyncServer
    from paypercall.client import Client
    from paypercall.results import Payment
    from paypercall.server import Server

__version__ = "0.1.0"

__all__ = ["AsyncClient", "AsyncServer", "Client", "Payment", "PaypercallError", "Server", "__version__"]

_HOMES = {
    "AsyncClient": "paypercall.asynchronous",
    "AsyncServer": "paypercall.asynchronous",
    "Client": "paypercall.client",
    "Payment": "paypercall.results",
    "Server": "paypercall.server",
}

if not TYPE_CHECKING:  # a type checker that saw this function would believe in every name

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES})
