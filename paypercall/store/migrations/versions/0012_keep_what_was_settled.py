"""Keep what each period was settled with, which tells whether a payment that was refused was taken all the same.

A payment that was kept for a request gets a mark that further attempts set, for what a refusal of one of them means.
The index of the kept answers gets their sizes: what they come to is summed up from it, and not from the answers.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds columns that processes of the version before leave empty: it is not known then what was settled or tried."""
    for name in ("owed_by_me", "owed_by_peer", "unsure", "paid_anew"):
        op.add_column("paypercall_periods", sa.Column(name, sa.BigInteger()))
    op.add_column("paypercall_paid_calls", sa.Column("is_retried", sa.Boolean()))
    op.drop_index("ix_paypercall_stored_answers_stored_at", table_name="paypercall_stored_answers")
    op.create_index(
        "ix_paypercall_stored_answers_stored_at", "paypercall_stored_answers", ["stored_at", "size"]
    )
