"""Which packages everybody can read: the last one of a period is in the unit with which its payee closes it.

That is how agent 1.1 learns what is owed, in a close and in a fraud proof; where the payer closes, its claim says so,
and no package of its own is shown. Whoever sends a published package may not be its payer. Reads the books within the
transaction of the caller.
"""

from __future__ import annotations

from paypercall.channel import Channel
from paypercall.package import PaymentPackage
from paypercall.store import Books, OutboxKind


def is_published(books: Books, channel: Channel, package: PaymentPackage) -> bool:
    """Whether an accepted package is on the ledger, or may be any moment.

    Args:
        books: The open transaction.
        channel: As it is now, in the package's period or a later one.
        package: The package.
    """
    last: int | None = channel.signed_by_peer
    if package.period != channel.period:
        last = books.periods.signed_by_peer(channel.aa_address, package.period)
    elif channel.freeze is None:
        return False
    if last is None:  # books that were restored may not know a period that was over before
        return True
    return package.amount_spent >= last and _is_shown(books, package)


def _is_shown(books: Books, package: PaymentPackage) -> bool:
    """Whether this side has sent the last package of the period to the agent; a confirmation holds none."""
    rows = books.outbox.of_period(package.aa_address, package.period)
    return any(row.kind in (OutboxKind.CLOSE, OutboxKind.FRAUD_PROOF) for row in rows)
