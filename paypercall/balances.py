"""Where the channels of a wallet stand, as its books say; nothing is changed or decided here."""

from __future__ import annotations

from paypercall.channel import Status
from paypercall.results import ChannelBalance
from paypercall.store import Books, ChannelRecord


def balance_of(books: Books, record: ChannelRecord) -> ChannelBalance:
    """Where one channel stands."""
    return ChannelBalance.of(record.channel, books.deposits.pending(record.channel.aa_address))


def balances_of_all(books: Books, my_address: str, status: Status | None = None) -> list[ChannelBalance]:
    """Where all my channels stand, or those of one status, in the order of their addresses.

    However many there are, the deposits on their way are asked for once, and not channel by channel.
    """
    pending = books.deposits.pending_by_channel()
    return [
        ChannelBalance.of(record.channel, pending.get(record.channel.aa_address, 0))
        for record in books.channels.records(my_address, status=status)
    ]
