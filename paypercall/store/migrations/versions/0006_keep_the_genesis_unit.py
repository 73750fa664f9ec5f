"""Keep the network's first unit: private networks have the same version, and are told apart by it alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds a column that may be empty: whoever opens the books next fills it in."""
    op.add_column("node", sa.Column("genesis_unit", sa.String(44), nullable=True))
