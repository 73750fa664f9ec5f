"""Which packages everybody can read: the last one of a period is in the unit with which its payee closes it.

That is how agent 1.1 learns what is owed. Whoever sends such a package may not be its payer. Reads the books within the
transaction of the caller.
"""

from __future__ import annotations

from paypercall.channel import Channel
from paypercall.package import PaymentPackage
from paypercall.store import Books


def is_published(books: Books, channel: Channel, package: PaymentPackage) -> bool:
    """Whether an accepted package is on the ledger, or may be any moment.

    Args:
        books: The open transaction.
        channel: As it is now, in the package's period or a later one.
        package: The package.
    """
    if package.period == channel.period:
        return channel.freeze is not None and package.amount_spent >= channel.signed_by_peer
    last = books.periods.signed_by_peer(channel.aa_address, package.period)
    # Books that were restored may not know a period that was over before.
    return last is None or package.amount_spent >= last
