"""The tables. Every change here needs a migration under `migrations/versions`, and a new `REVISION`.

Amounts and periods are 64-bit integers, times are whole seconds. No rule about money stands here, only what
makes a repeated or a dangling row impossible.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from paypercall.channel import NEVER
from paypercall.contract import MAX_SALT_LENGTH

REVISION = "0012"
"""The schema that this code works on."""

VERSION_TABLE = "paypercall_version"
"""Where Alembic notes the revision; not its usual table, which may be that of a host on the same database."""

_ADDRESS = String(32)
_HASH = String(44)
_ASSET = String(44)
_WORD = String(20)
# SQLite numbers rows by itself only in a column that is called INTEGER.
_NUMBER = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)


def _amount(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


channels = Table(
    "paypercall_channels",
    metadata,
    Column("aa_address", _ADDRESS, primary_key=True),
    Column("my_address", _ADDRESS, nullable=False),
    Column("peer_address", _ADDRESS, nullable=False),
    Column("address_a", _ADDRESS, nullable=False),
    Column("address_b", _ADDRESS, nullable=False),
    Column("asset", _ASSET, nullable=False),
    Column("salt", String(MAX_SALT_LENGTH), nullable=False),
    Column("timeout", BigInteger, nullable=False),
    Column("version", _WORD, nullable=False),
    Column("period", BigInteger, nullable=False),
    Column("status", _WORD, nullable=False),
    Column("last_event_id", BigInteger, nullable=False),
    Column("known_event_id", BigInteger, nullable=False),
    _amount("deposited_by_me"),
    _amount("deposited_by_peer"),
    _amount("signed_by_me"),
    _amount("signed_by_peer"),
    _amount("accepted_from_peer"),
    Column("last_package", Text),
    Column("is_known_by_peer", Boolean, nullable=False),
    Column("signs_from_period", BigInteger, nullable=False),
    _amount("written_off"),
    Column("freeze_decision", _WORD),
    _amount("freeze_signed_by_me", nullable=True),
    _amount("freeze_signed_by_peer", nullable=True),
    Column("close_initiated_by_me", Boolean),
    _amount("close_owed_by_me", nullable=True),
    _amount("close_owed_by_peer", nullable=True),
    _time("close_timestamp", nullable=True),
    _amount("exposure"),
    _amount("unsettled"),
    _amount("refill_deposit_amount", nullable=True),
    _amount("refill_threshold", nullable=True),
    _time("opened_at", nullable=True),
    _time("created_at"),
    Index("ix_paypercall_channels_between", "my_address", "peer_address", "asset"),
    Index("ix_paypercall_channels_created", "my_address", "created_at"),
    Index("ix_paypercall_channels_opened", "status", "opened_at"),
    Index(
        "ix_paypercall_channels_unsettled",
        "asset",
        "unsettled",
        sqlite_where=text("unsettled > 0"),
        postgresql_where=text("unsettled > 0"),
    ),
    Index(
        "ix_paypercall_channels_refilled",
        "my_address",
        sqlite_where=text("refill_threshold IS NOT NULL"),
        postgresql_where=text("refill_threshold IS NOT NULL"),
    ),
    Index(
        "ix_paypercall_channels_frozen",
        "freeze_decision",
        sqlite_where=text("freeze_decision IS NOT NULL"),
        postgresql_where=text("freeze_decision IS NOT NULL"),
    ),
    Index(
        "ix_paypercall_channels_distrusted",
        "my_address",
        sqlite_where=text(f"signs_from_period = {NEVER}"),
        postgresql_where=text(f"signs_from_period = {NEVER}"),
    ),
)

totals = Table(
    "paypercall_totals",
    metadata,
    Column("asset", _ASSET, primary_key=True),
    _amount("exposure"),
    _amount("unsettled"),
)

losses = Table(
    "paypercall_losses",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("asset", _ASSET, nullable=False),
    _amount("amount"),
    _time("booked_at"),
    Column("aa_address", _ADDRESS, nullable=True),
    Index("ix_paypercall_losses_asset", "asset", "booked_at"),
)

payments = Table(
    "paypercall_payments",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("aa_address", _ADDRESS, ForeignKey("paypercall_channels.aa_address"), nullable=False),
    Column("period", BigInteger, nullable=False),
    _amount("amount_spent"),
    _amount("amount"),
    Column("asset", _ASSET, nullable=False),
    Column("digest", String(64), nullable=False),
    _time("accepted_at"),
    UniqueConstraint("aa_address", "period", "amount_spent"),
)

periods = Table(
    "paypercall_periods",
    metadata,
    Column("aa_address", _ADDRESS, ForeignKey("paypercall_channels.aa_address"), primary_key=True),
    Column("period", BigInteger, primary_key=True),
    _amount("deposited_by_me"),
    _amount("deposited_by_peer"),
    _amount("signed_by_me"),
    _amount("signed_by_peer"),
    _amount("accepted_from_peer"),
    Column("is_fraud_proven", Boolean, nullable=False),
    Column("unit", _HASH, nullable=False),
    _time("ended_at"),
    _amount("owed_by_me", nullable=True),
    _amount("owed_by_peer", nullable=True),
    _amount("unsure", nullable=True),
    _amount("paid_anew", nullable=True),
)

sent_packages = Table(
    "paypercall_sent_packages",
    metadata,
    Column("aa_address", _ADDRESS, ForeignKey("paypercall_channels.aa_address"), primary_key=True),
    Column("idempotency_key", Text, primary_key=True),
    Column("period", BigInteger, nullable=False),
    _amount("amount"),
    _amount("amount_spent"),
    Column("package", Text, nullable=False),
    _time("made_at"),
)

outbox = Table(
    "paypercall_outbox",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("kind", _WORD, nullable=False),
    Column("state", _WORD, nullable=False),
    Column("aa_address", _ADDRESS, ForeignKey("paypercall_channels.aa_address")),
    Column("period", BigInteger),
    Column("details", Text, nullable=False),
    Column("unit_hash", _HASH),
    Column("attempts", Integer, nullable=False),
    Column("last_error", Text),
    _time("created_at"),
    _time("updated_at"),
    Index("ix_paypercall_outbox_state", "state"),
    Index("ix_paypercall_outbox_aa_address", "aa_address", "period"),
)

outbox_units = Table(
    "paypercall_outbox_units",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("outbox_id", _NUMBER, ForeignKey("paypercall_outbox.id"), nullable=False),
    Column("unit_hash", _HASH, nullable=False),
    Column("unit", Text, nullable=False),
    _time("made_at"),
    UniqueConstraint("unit_hash"),
    Index("ix_paypercall_outbox_units_outbox_id", "outbox_id"),
)

deposits = Table(
    "paypercall_deposits",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("aa_address", _ADDRESS, ForeignKey("paypercall_channels.aa_address"), nullable=False),
    Column("outbox_id", _NUMBER, ForeignKey("paypercall_outbox.id")),
    Column("unit", _HASH),
    _amount("amount"),
    Column("state", _WORD, nullable=False),
    _time("made_at"),
    Index("ix_paypercall_deposits_aa_address", "aa_address", "state"),
    Index("ix_paypercall_deposits_unit", "unit"),
    Index("ix_paypercall_deposits_outbox_id", "outbox_id"),
)

unconfirmed_units = Table(
    "paypercall_unconfirmed_units",
    metadata,
    Column("aa_address", _ADDRESS, ForeignKey("paypercall_channels.aa_address"), primary_key=True),
    Column("unit", _HASH, primary_key=True),
    Column("sender", _ADDRESS, nullable=False),
    Column("kind", _WORD, nullable=False),
    _amount("amount"),
    Column("has_data", Boolean, nullable=False),
    Column("has_definition", Boolean, nullable=False),
    _time("first_seen"),
    _time("stable_since", nullable=True),
    Column("is_double_spent", Boolean, nullable=False),
    Index("ix_paypercall_unconfirmed_units_unit", "unit"),
)

announced_channels = Table(
    "paypercall_announced_channels",
    metadata,
    Column("aa_address", _ADDRESS, primary_key=True),
    Column("address_a", _ADDRESS, nullable=False),
    Column("address_b", _ADDRESS, nullable=False),
    Column("asset", _ASSET, nullable=False),
    Column("salt", String(MAX_SALT_LENGTH), nullable=False),
    Column("timeout", BigInteger, nullable=False),
    Column("version", _WORD, nullable=False),
    _time("announced_at"),
    Index("ix_paypercall_announced_channels_announced_at", "announced_at"),
)

leases = Table(
    "paypercall_leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    _time("expires_at"),
)

node = Table(
    "paypercall_node",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("database_id", String(32), nullable=False),
    Column("network_version", _WORD, nullable=False),
    Column("my_address", _ADDRESS, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("is_below_reserve", Boolean, nullable=False),
    _time("synced_at", nullable=True),
    _time("created_at"),
    Column("max_sweeping_period", BigInteger),
    Column("genesis_unit", _HASH),
)

final_units = Table(
    "paypercall_final_units",
    metadata,
    Column("unit", _HASH, primary_key=True),
    Column("outcome", _WORD, primary_key=True),
    Column("own_index", BigInteger),  # not null for the wallet's own units; no index is kept
)

coins = Table(
    "paypercall_coins",
    metadata,
    Column("unit", _HASH, primary_key=True),
    Column("message_index", BigInteger, primary_key=True, autoincrement=False),
    Column("output_index", BigInteger, primary_key=True, autoincrement=False),
    _amount("amount"),
    Column("asset", _ASSET, nullable=False),
    Column("address", _ADDRESS, nullable=False),
    Column("main_chain_index", BigInteger),
)

spent_places = Table(
    "paypercall_spent_places",
    metadata,
    Column("unit", _HASH, primary_key=True),
    Column("message_index", BigInteger, primary_key=True, autoincrement=False),
    Column("output_index", BigInteger, primary_key=True, autoincrement=False),
    Column("spent_by", _HASH, nullable=False),
)

positions = Table(
    "paypercall_positions",
    metadata,
    Column("subject", _WORD, primary_key=True),
    Column("hub", Text, nullable=False),
    Column("main_chain_index", BigInteger, nullable=False),
    _time("listed_at"),
)

# Its rows are in the order of their key: one tree for each payment to find its place in, not two.
paid_calls = Table(
    "paypercall_paid_calls",
    metadata,
    Column("method", _WORD, primary_key=True),
    Column("payment", String(64), primary_key=True),
    _amount("amount"),
    Column("asset", _ASSET, nullable=False),
    Column("aa_address", _ADDRESS),
    Column("state", _WORD, nullable=False),
    Column("request", String(64)),
    Column("run", String(32)),
    _time("runs_until"),
    Column("lost_runs", Integer, nullable=False),
    _amount("refund"),
    Column("token_hash", String(64)),
    Column("receipt", Text, nullable=False),
    _time("made_at"),
    Column("is_retried", Boolean),
    # Few calls have one, and each pays for its place in an index.
    Index(
        "ix_paypercall_paid_calls_token_hash",
        "token_hash",
        unique=True,
        sqlite_where=text("token_hash IS NOT NULL"),
        postgresql_where=text("token_hash IS NOT NULL"),
    ),
    sqlite_with_rowid=False,
)

stored_answers = Table(
    "paypercall_stored_answers",
    metadata,
    Column("method", _WORD, primary_key=True),
    Column("payment", String(64), primary_key=True),
    Column("status", Integer, nullable=False),
    Column("headers", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),
    _time("stored_at"),
    ForeignKeyConstraint(
        ["method", "payment"], ["paypercall_paid_calls.method", "paypercall_paid_calls.payment"]
    ),
    # With the size, so that the sum of all sizes is read from here.
    Index("ix_paypercall_stored_answers_stored_at", "stored_at", "size"),
)

bought_calls = Table(
    "paypercall_bought_calls",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("request", String(64), nullable=False),
    Column("resource", String(64), nullable=False),
    Column("origin", Text, nullable=False),
    Column("payee", _ADDRESS, nullable=False),
    Column("asset", _ASSET, nullable=False),
    _amount("amount"),
    Column("payment_key", String(32), nullable=False),
    _time("made_at"),
    Column("state", _WORD, nullable=False),
    _amount("refund"),
    Column("aa_address", _ADDRESS),
    Column("run", String(32)),
    _time("runs_until"),
    UniqueConstraint("payment_key"),
    Index("ix_paypercall_bought_calls_request", "request", "state"),
    Index("ix_paypercall_bought_calls_resource", "resource", "id"),
)

# Its rows are in the order of their key: a sum over some hours reads one piece of one tree.
spent_minutes = Table(
    "paypercall_spent_minutes",
    metadata,
    Column("asset", _ASSET, primary_key=True),
    Column("scope", _WORD, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    _amount("amount"),
    sqlite_with_rowid=False,
)
