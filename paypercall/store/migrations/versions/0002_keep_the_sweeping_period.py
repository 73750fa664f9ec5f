"""Keep the sweeping period, for whichever process settles."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds a column that may be empty, so that processes of the version before can go on for now."""
    op.add_column("node", sa.Column("max_sweeping_period", sa.BigInteger(), nullable=True))
