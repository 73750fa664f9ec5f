"""Keep what each period was settled with: it tells whether a payment that was refused was taken all the same."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds columns that may be empty, which processes of the version before leave so: it is not known then."""
    for name in ("owed_by_me", "owed_by_peer", "paid_anew"):
        op.add_column("paypercall_periods", sa.Column(name, sa.BigInteger()))
