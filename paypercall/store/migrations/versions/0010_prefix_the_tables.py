"""Begin the names of all tables with `paypercall_`: in a host's database a table `payments` may be the host's.

Of one-time tokens only the hash is kept from now on, and those that are there are hashed. The workers that die over a
paid request are counted.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_PREFIX = "paypercall_"

_TABLES = (
    "channels",
    "totals",
    "losses",
    "payments",
    "periods",
    "sent_packages",
    "outbox",
    "outbox_units",
    "deposits",
    "unconfirmed_units",
    "announced_channels",
    "leases",
    "node",
    "final_units",
    "coins",
    "spent_places",
    "positions",
    "bought_calls",
)

_NUMBERED = ("losses", "payments", "outbox", "outbox_units", "deposits", "bought_calls")

_CONSTRAINTS = {
    **{f"pk_{table}": table for table in _TABLES},
    "uq_payments_aa_address": "payments",
    "uq_outbox_units_unit_hash": "outbox_units",
    "uq_bought_calls_payment_key": "bought_calls",
    "fk_payments_aa_address": "payments",
    "fk_periods_aa_address": "periods",
    "fk_sent_packages_aa_address": "sent_packages",
    "fk_outbox_aa_address": "outbox",
    "fk_outbox_units_outbox_id": "outbox_units",
    "fk_deposits_aa_address": "deposits",
    "fk_deposits_outbox_id": "deposits",
    "fk_unconfirmed_units_aa_address": "unconfirmed_units",
}

_INDEXES = {
    "channels_between": ("channels", "my_address", "peer_address", "asset"),
    "channels_created": ("channels", "my_address", "created_at"),
    "channels_opened": ("channels", "status", "opened_at"),
    "channels_unsettled": ("channels", "asset", "unsettled"),
    "channels_refilled": ("channels", "my_address"),
    "channels_frozen": ("channels", "freeze_decision"),
    "channels_distrusted": ("channels", "my_address"),
    "losses_asset": ("losses", "asset", "booked_at"),
    "outbox_state": ("outbox", "state"),
    "outbox_aa_address": ("outbox", "aa_address", "period"),
    "outbox_units_outbox_id": ("outbox_units", "outbox_id"),
    "deposits_aa_address": ("deposits", "aa_address", "state"),
    "deposits_unit": ("deposits", "unit"),
    "deposits_outbox_id": ("deposits", "outbox_id"),
    "unconfirmed_units_unit": ("unconfirmed_units", "unit"),
    "announced_channels_announced_at": ("announced_channels", "announced_at"),
    "bought_calls_request": ("bought_calls", "request", "state"),
    "bought_calls_resource": ("bought_calls", "resource", "id"),
    "bought_calls_spent": ("bought_calls", "asset", "made_at", "origin", "payee", "amount", "refund"),
}

_CONDITIONS = {
    "channels_unsettled": "unsettled > 0",
    "channels_refilled": "refill_threshold IS NOT NULL",
    "channels_frozen": "freeze_decision IS NOT NULL",
    "channels_distrusted": f"signs_from_period = {2**62}",
}


def upgrade() -> None:
    """Renames. Processes of the version before must be stopped: they would find no table."""
    if op.get_context().dialect.name == "sqlite":
        _upgrade_sqlite()
    else:
        _upgrade_postgresql()


def _upgrade_sqlite() -> None:
    """Makes the indexes anew, which cannot be renamed; constraints keep their names, which mean nothing there."""
    for index in _INDEXES:
        op.drop_index(f"ix_{index}")
    for table in _TABLES:
        op.rename_table(table, _PREFIX + table)
    _rebuild_paid_calls("paypercall_sha256(token)")
    for index, (table, *columns) in _INDEXES.items():
        condition = sa.text(_CONDITIONS[index]) if index in _CONDITIONS else None
        op.create_index(f"ix_{_PREFIX}{index}", _PREFIX + table, columns, sqlite_where=condition)


def _rebuild_paid_calls(sha256_of_token: str) -> None:
    """Copies the two tables: their key is that of the payment from now on, and a unique column cannot be let go of."""
    op.create_table(
        "paypercall_paid_calls",
        sa.Column("method", sa.String(20), nullable=False),
        sa.Column("payment", sa.String(64), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("asset", sa.String(44), nullable=False),
        sa.Column("aa_address", sa.String(32)),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("request", sa.String(64)),
        sa.Column("run", sa.String(32)),
        sa.Column("runs_until", sa.BigInteger(), nullable=False),
        sa.Column("lost_runs", sa.Integer(), nullable=False),
        sa.Column("refund", sa.BigInteger(), nullable=False),
        sa.Column("token_hash", sa.String(64)),
        sa.Column("receipt", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("method", "payment", name="pk_paypercall_paid_calls"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "paypercall_stored_answers",
        sa.Column("method", sa.String(20), nullable=False),
        sa.Column("payment", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("stored_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["method", "payment"],
            ["paypercall_paid_calls.method", "paypercall_paid_calls.payment"],
            name="fk_paypercall_stored_answers_method",
        ),
        sa.PrimaryKeyConstraint("method", "payment", name="pk_paypercall_stored_answers"),
    )
    op.execute(
        # A request below a mount is another one from now on: what is not answered yet is bound anew.
        "INSERT INTO paypercall_paid_calls SELECT method, payment, amount, asset, aa_address, state,"
        " CASE WHEN method = 'channel' AND state IN ('accepted', 'running') THEN NULL ELSE request END, run,"
        f" runs_until, 0, refund, {sha256_of_token}, receipt, made_at FROM paid_calls"
    )
    op.execute(
        "INSERT INTO paypercall_stored_answers SELECT method, payment, status, headers, body, size, stored_at"
        " FROM stored_answers JOIN paid_calls ON paid_calls.id = call_id"
    )
    if op.get_context().dialect.name == "sqlite":
        # What is dropped is overwritten: the tokens would stay in the file's free pages.
        op.execute("PRAGMA secure_delete = ON")
    op.drop_table("stored_answers")
    op.drop_table("paid_calls")
    op.create_index("ix_paypercall_stored_answers_stored_at", "paypercall_stored_answers", ["stored_at"])
    _create_token_index()


def _create_token_index() -> None:
    op.create_index(
        "ix_paypercall_paid_calls_token_hash",
        "paypercall_paid_calls",
        ["token_hash"],
        unique=True,
        sqlite_where=sa.text("token_hash IS NOT NULL"),
        postgresql_where=sa.text("token_hash IS NOT NULL"),
    )


def _upgrade_postgresql() -> None:
    for table in _NUMBERED:
        # Asked for by its table: a sequence with the usual name may be a host's.
        op.execute(
            "DO $$ BEGIN EXECUTE 'ALTER SEQUENCE ' || pg_get_serial_sequence"
            f"('{table}', 'id') || ' RENAME TO {_PREFIX}{table}_id_seq'; END $$"
        )
    for constraint, table in _CONSTRAINTS.items():
        kind, _, name = constraint.partition("_")
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {constraint} TO {kind}_{_PREFIX}{name}")
    for index in _INDEXES:
        op.execute(f"ALTER INDEX ix_{index} RENAME TO ix_{_PREFIX}{index}")
    for table in _TABLES:
        op.rename_table(table, _PREFIX + table)
    _rebuild_paid_calls("encode(sha256(convert_to(token, 'UTF8')), 'hex')")
