"""Keep the calls that this side pays for: each holds its place in the budget, and names its payment."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds a table only, which processes of the version before do not notice."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "bought_calls",
        sa.Column("id", number, nullable=False),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("resource", sa.String(64), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("payee", sa.String(32), nullable=False),
        sa.Column("asset", sa.String(44), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("payment_key", sa.String(32), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("refund", sa.BigInteger(), nullable=False),
        sa.Column("aa_address", sa.String(32)),
        sa.Column("run", sa.String(32)),
        sa.Column("runs_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_bought_calls"),
        sa.UniqueConstraint("payment_key", name="uq_bought_calls_payment_key"),
    )
    op.create_index("ix_bought_calls_request", "bought_calls", ["request", "state"])
    op.create_index("ix_bought_calls_resource", "bought_calls", ["resource", "id"])
    op.create_index(
        "ix_bought_calls_spent",
        "bought_calls",
        ["asset", "made_at", "origin", "payee", "amount", "refund"],
    )
