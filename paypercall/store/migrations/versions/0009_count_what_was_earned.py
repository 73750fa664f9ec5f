"""Count as unsettled what a close brings: the credit that goes back with it is none of it."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Counts anew. Processes of the version before must be stopped: they would move the totals by what they count."""
    op.execute(
        "UPDATE channels SET unsettled = CASE WHEN accepted_from_peer > signed_by_me"
        " THEN accepted_from_peer - signed_by_me ELSE 0 END"
    )
    op.execute(
        "UPDATE totals SET unsettled ="
        " (SELECT COALESCE(SUM(channels.unsettled), 0) FROM channels WHERE channels.asset = totals.asset)"
    )
