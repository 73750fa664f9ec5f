"""Keep in which channel a loss was made, whose next deposit may make it good."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds a column that may be empty: processes of the version before go on, and what they book just runs out."""
    op.add_column("losses", sa.Column("aa_address", sa.String(32), nullable=True))
