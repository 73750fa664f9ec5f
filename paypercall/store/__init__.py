"""The books on disk: channels, payments, deposits, the outbox; SQLite or PostgreSQL through SQLAlchemy Core.

The store only loads, locks and saves. Money rules live in `paypercall.channel`.
"""

from __future__ import annotations

from paypercall.store.books import Books, Store
from paypercall.store.channel_rows import ChannelRecord, Refill
from paypercall.store.deposits import DepositState
from paypercall.store.errors import StoreError
from paypercall.store.node import NodeHealth, NodeIdentity
from paypercall.store.outbox import OutboxKind, OutboxRow, OutboxState
from paypercall.store.paid_calls import StoredAnswer
from paypercall.store.payments import AcceptedPayment, SentPackage
from paypercall.store.periods import PeriodRecord
from paypercall.store.positions import Position, Subject

__all__ = [
    "AcceptedPayment",
    "Books",
    "ChannelRecord",
    "DepositState",
    "NodeHealth",
    "NodeIdentity",
    "OutboxKind",
    "OutboxRow",
    "OutboxState",
    "PeriodRecord",
    "Position",
    "Refill",
    "SentPackage",
    "Store",
    "StoreError",
    "StoredAnswer",
    "Subject",
]
