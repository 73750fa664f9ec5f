"""Keep what is spent in each minute: the limits of a budget were held against the rows of all calls of a day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_SCOPES = {"total": "''", "origin": "origin", "payee": "payee"}


def upgrade() -> None:
    """Sums up all calls. Processes of the version before must be stopped: what they spend would not be counted."""
    op.create_table(
        "paypercall_spent_minutes",
        sa.Column("asset", sa.String(44), nullable=False),
        sa.Column("scope", sa.String(20), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("asset", "scope", "name", "minute", name="pk_paypercall_spent_minutes"),
        sqlite_with_rowid=False,
    )
    for scope, name in _SCOPES.items():
        op.execute(
            f"INSERT INTO paypercall_spent_minutes SELECT asset, '{scope}', {name}, made_at / 60, SUM(amount - refund)"
            f" FROM paypercall_bought_calls GROUP BY 1, 2, 3, 4"
        )
    op.drop_index("ix_paypercall_bought_calls_spent", table_name="paypercall_bought_calls")
