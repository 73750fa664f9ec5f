"""Keep the coins that are final, and how far the ledger is taken, so that a start need not ask for everything."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds tables only, which processes of the version before do not notice: their position never moves on."""
    op.create_table(
        "final_units",
        sa.Column("unit", sa.String(44), nullable=False),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("own_index", sa.BigInteger()),
        sa.PrimaryKeyConstraint("unit", "outcome", name="pk_final_units"),
    )
    op.create_table(
        "coins",
        *_place(),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("asset", sa.String(44), nullable=False),
        sa.Column("address", sa.String(32), nullable=False),
        sa.Column("main_chain_index", sa.BigInteger()),
        sa.PrimaryKeyConstraint("unit", "message_index", "output_index", name="pk_coins"),
    )
    op.create_table(
        "spent_places",
        *_place(),
        sa.Column("spent_by", sa.String(44), nullable=False),
        sa.PrimaryKeyConstraint("unit", "message_index", "output_index", name="pk_spent_places"),
    )
    op.create_table(
        "positions",
        sa.Column("subject", sa.String(20), nullable=False),
        sa.Column("hub", sa.Text(), nullable=False),
        sa.Column("main_chain_index", sa.BigInteger(), nullable=False),
        sa.Column("listed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_positions"),
    )


def _place() -> tuple[sa.Column[str], sa.Column[int], sa.Column[int]]:
    return (
        sa.Column("unit", sa.String(44), nullable=False),
        sa.Column("message_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("output_index", sa.BigInteger(), autoincrement=False, nullable=False),
    )
