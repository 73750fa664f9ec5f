"""Index what each look at the ledger asks the books for, so that it costs the same with many channels."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NEVER = 2**62


def upgrade() -> None:
    """Adds indexes only, which processes of the version before do not notice."""
    op.create_index("ix_channels_created", "channels", ["my_address", "created_at"])
    op.create_index(
        "ix_channels_distrusted",
        "channels",
        ["my_address"],
        sqlite_where=sa.text(f"signs_from_period = {_NEVER}"),
        postgresql_where=sa.text(f"signs_from_period = {_NEVER}"),
    )
