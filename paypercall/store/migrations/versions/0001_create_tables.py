"""Create the tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Creates every table, those first that others refer to."""
    _create_channels()
    _create_totals()
    _create_losses()
    _create_payments()
    _create_periods()
    _create_sent_packages()
    _create_outbox()
    _create_outbox_units()
    _create_deposits()
    _create_unconfirmed_units()
    _create_announced_channels()
    _create_leases()
    _create_node()


def _create_channels() -> None:
    op.create_table(
        "channels",
        sa.Column("aa_address", sa.String(length=32), nullable=False),
        sa.Column("my_address", sa.String(length=32), nullable=False),
        sa.Column("peer_address", sa.String(length=32), nullable=False),
        sa.Column("address_a", sa.String(length=32), nullable=False),
        sa.Column("address_b", sa.String(length=32), nullable=False),
        sa.Column("asset", sa.String(length=44), nullable=False),
        sa.Column("salt", sa.String(length=50), nullable=False),
        sa.Column("timeout", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.String(length=20), nullable=False),
        sa.Column("period", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("last_event_id", sa.BigInteger(), nullable=False),
        sa.Column("known_event_id", sa.BigInteger(), nullable=False),
        sa.Column("deposited_by_me", sa.BigInteger(), nullable=False),
        sa.Column("deposited_by_peer", sa.BigInteger(), nullable=False),
        sa.Column("signed_by_me", sa.BigInteger(), nullable=False),
        sa.Column("signed_by_peer", sa.BigInteger(), nullable=False),
        sa.Column("accepted_from_peer", sa.BigInteger(), nullable=False),
        sa.Column("last_package", sa.Text(), nullable=True),
        sa.Column("is_known_by_peer", sa.Boolean(), nullable=False),
        sa.Column("signs_from_period", sa.BigInteger(), nullable=False),
        sa.Column("written_off", sa.BigInteger(), nullable=False),
        sa.Column("freeze_decision", sa.String(length=20), nullable=True),
        sa.Column("freeze_signed_by_me", sa.BigInteger(), nullable=True),
        sa.Column("freeze_signed_by_peer", sa.BigInteger(), nullable=True),
        sa.Column("close_initiated_by_me", sa.Boolean(), nullable=True),
        sa.Column("close_owed_by_me", sa.BigInteger(), nullable=True),
        sa.Column("close_owed_by_peer", sa.BigInteger(), nullable=True),
        sa.Column("close_timestamp", sa.BigInteger(), nullable=True),
        sa.Column("exposure", sa.BigInteger(), nullable=False),
        sa.Column("unsettled", sa.BigInteger(), nullable=False),
        sa.Column("refill_deposit_amount", sa.BigInteger(), nullable=True),
        sa.Column("refill_threshold", sa.BigInteger(), nullable=True),
        sa.Column("opened_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("aa_address", name="pk_channels"),
    )
    op.create_index("ix_channels_between", "channels", ["my_address", "peer_address", "asset"])
    op.create_index(
        "ix_channels_frozen",
        "channels",
        ["freeze_decision"],
        sqlite_where=sa.text("freeze_decision IS NOT NULL"),
        postgresql_where=sa.text("freeze_decision IS NOT NULL"),
    )
    op.create_index("ix_channels_opened", "channels", ["status", "opened_at"])
    op.create_index(
        "ix_channels_refilled",
        "channels",
        ["my_address"],
        sqlite_where=sa.text("refill_threshold IS NOT NULL"),
        postgresql_where=sa.text("refill_threshold IS NOT NULL"),
    )
    op.create_index(
        "ix_channels_unsettled",
        "channels",
        ["asset", "unsettled"],
        sqlite_where=sa.text("unsettled > 0"),
        postgresql_where=sa.text("unsettled > 0"),
    )


def _create_totals() -> None:
    op.create_table(
        "totals",
        sa.Column("asset", sa.String(length=44), nullable=False),
        sa.Column("exposure", sa.BigInteger(), nullable=False),
        sa.Column("unsettled", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("asset", name="pk_totals"),
    )


def _create_losses() -> None:
    op.create_table(
        "losses",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("asset", sa.String(length=44), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("booked_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_losses"),
    )
    op.create_index("ix_losses_asset", "losses", ["asset", "booked_at"])


def _create_payments() -> None:
    op.create_table(
        "payments",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("aa_address", sa.String(length=32), nullable=False),
        sa.Column("period", sa.BigInteger(), nullable=False),
        sa.Column("amount_spent", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("asset", sa.String(length=44), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("accepted_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["aa_address"], ["channels.aa_address"], name="fk_payments_aa_address"),
        sa.PrimaryKeyConstraint("id", name="pk_payments"),
        sa.UniqueConstraint("aa_address", "period", "amount_spent", name="uq_payments_aa_address"),
    )


def _create_periods() -> None:
    op.create_table(
        "periods",
        sa.Column("aa_address", sa.String(length=32), nullable=False),
        sa.Column("period", sa.BigInteger(), nullable=False),
        sa.Column("deposited_by_me", sa.BigInteger(), nullable=False),
        sa.Column("deposited_by_peer", sa.BigInteger(), nullable=False),
        sa.Column("signed_by_me", sa.BigInteger(), nullable=False),
        sa.Column("signed_by_peer", sa.BigInteger(), nullable=False),
        sa.Column("accepted_from_peer", sa.BigInteger(), nullable=False),
        sa.Column("is_fraud_proven", sa.Boolean(), nullable=False),
        sa.Column("unit", sa.String(length=44), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["aa_address"], ["channels.aa_address"], name="fk_periods_aa_address"),
        sa.PrimaryKeyConstraint("aa_address", "period", name="pk_periods"),
    )


def _create_sent_packages() -> None:
    op.create_table(
        "sent_packages",
        sa.Column("aa_address", sa.String(length=32), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("period", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("amount_spent", sa.BigInteger(), nullable=False),
        sa.Column("package", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["aa_address"], ["channels.aa_address"], name="fk_sent_packages_aa_address"),
        sa.PrimaryKeyConstraint("aa_address", "idempotency_key", name="pk_sent_packages"),
    )


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("aa_address", sa.String(length=32), nullable=True),
        sa.Column("period", sa.BigInteger(), nullable=True),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("unit_hash", sa.String(length=44), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["aa_address"], ["channels.aa_address"], name="fk_outbox_aa_address"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.create_index("ix_outbox_aa_address", "outbox", ["aa_address", "period"])
    op.create_index("ix_outbox_state", "outbox", ["state"])


def _create_outbox_units() -> None:
    op.create_table(
        "outbox_units",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("outbox_id", _NUMBER, nullable=False),
        sa.Column("unit_hash", sa.String(length=44), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name="fk_outbox_units_outbox_id"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox_units"),
        sa.UniqueConstraint("unit_hash", name="uq_outbox_units_unit_hash"),
    )
    op.create_index("ix_outbox_units_outbox_id", "outbox_units", ["outbox_id"])


def _create_deposits() -> None:
    op.create_table(
        "deposits",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("aa_address", sa.String(length=32), nullable=False),
        sa.Column("outbox_id", _NUMBER, nullable=True),
        sa.Column("unit", sa.String(length=44), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["aa_address"], ["channels.aa_address"], name="fk_deposits_aa_address"),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name="fk_deposits_outbox_id"),
        sa.PrimaryKeyConstraint("id", name="pk_deposits"),
    )
    op.create_index("ix_deposits_aa_address", "deposits", ["aa_address", "state"])
    op.create_index("ix_deposits_outbox_id", "deposits", ["outbox_id"])
    op.create_index("ix_deposits_unit", "deposits", ["unit"])


def _create_unconfirmed_units() -> None:
    op.create_table(
        "unconfirmed_units",
        sa.Column("aa_address", sa.String(length=32), nullable=False),
        sa.Column("unit", sa.String(length=44), nullable=False),
        sa.Column("sender", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("has_data", sa.Boolean(), nullable=False),
        sa.Column("has_definition", sa.Boolean(), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("stable_since", sa.BigInteger(), nullable=True),
        sa.Column("is_double_spent", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["aa_address"], ["channels.aa_address"], name="fk_unconfirmed_units_aa_address"
        ),
        sa.PrimaryKeyConstraint("aa_address", "unit", name="pk_unconfirmed_units"),
    )
    op.create_index("ix_unconfirmed_units_unit", "unconfirmed_units", ["unit"])


def _create_announced_channels() -> None:
    op.create_table(
        "announced_channels",
        sa.Column("aa_address", sa.String(length=32), nullable=False),
        sa.Column("address_a", sa.String(length=32), nullable=False),
        sa.Column("address_b", sa.String(length=32), nullable=False),
        sa.Column("asset", sa.String(length=44), nullable=False),
        sa.Column("salt", sa.String(length=50), nullable=False),
        sa.Column("timeout", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.String(length=20), nullable=False),
        sa.Column("announced_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("aa_address", name="pk_announced_channels"),
    )
    op.create_index("ix_announced_channels_announced_at", "announced_channels", ["announced_at"])


def _create_leases() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )


def _create_node() -> None:
    op.create_table(
        "node",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("database_id", sa.String(length=32), nullable=False),
        sa.Column("network_version", sa.String(length=20), nullable=False),
        sa.Column("my_address", sa.String(length=32), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("is_below_reserve", sa.Boolean(), nullable=False),
        sa.Column("synced_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_node"),
    )
