"""Keep which request each payment was used for, and the answers for a while."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds tables only, which processes of the version before do not notice."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "paid_calls",
        sa.Column("id", number, nullable=False),
        sa.Column("method", sa.String(20), nullable=False),
        sa.Column("payment", sa.String(64), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("asset", sa.String(44), nullable=False),
        sa.Column("aa_address", sa.String(32)),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("request", sa.String(64)),
        sa.Column("run", sa.String(32)),
        sa.Column("runs_until", sa.BigInteger(), nullable=False),
        sa.Column("refund", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.String(43)),
        sa.Column("receipt", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_paid_calls"),
        sa.UniqueConstraint("method", "payment", name="uq_paid_calls_method"),
        sa.UniqueConstraint("token", name="uq_paid_calls_token"),
    )
    op.create_table(
        "stored_answers",
        sa.Column("call_id", number, autoincrement=False, nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("stored_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["paid_calls.id"], name="fk_stored_answers_call_id"),
        sa.PrimaryKeyConstraint("call_id", name="pk_stored_answers"),
    )
    op.create_index("ix_stored_answers_stored_at", "stored_answers", ["stored_at"])
