"""The wallet of a node as its owner sees it: what there is, what came and went, and ways to move it.

Whatever leaves goes through the outbox, so that it is paid once whatever crashes, and so that it does not matter which
process of the wallet holds the lease. What cannot be sent now is not sent later behind the owner's back. Nothing in
here needs the lease: a row is only a decision, which one transaction makes, or takes back while nothing is signed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from paypercall.arguments import check_asset, check_payee, check_withdrawal
from paypercall.calls import Calls, counted
from paypercall.errors import PaypercallError, Refusal, RefusalCode
from paypercall.obyte.amounts import BASE
from paypercall.obyte.wallet import Balance, Transaction, Wallet
from paypercall.results import ChannelTimeout
from paypercall.settlement.gathering import details_of_gathering, require_no_need_for_reserve
from paypercall.settlement.node import Node
from paypercall.store import OutboxKind, OutboxRow, OutboxState, Store

POSTING_SECONDS = 60.0
"""How long a call that sends something waits for the hub to take the unit."""

_SENT = (OutboxState.POSTED, OutboxState.STABLE)


class NotSent(PaypercallError):
    """Nothing was sent, and nothing will be."""

    code = "not_sent"


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved as a whole, unit by unit.

    Attributes:
        units: The hashes of the units, the oldest first; empty if there was nothing to do.
        obstacle: Why the rest stays where it is, or None if there is none.
    """

    units: tuple[str, ...]
    obstacle: str | None = None


class Funds:
    """Looks after the money of one wallet. `Party.funds` gives one.

    Args:
        store: The books.
        wallet: The wallet.
        node: Sends what is decided, or waits for the process that does.
        calls: Of the party.
    """

    def __init__(self, store: Store, wallet: Wallet, node: Node, calls: Calls) -> None:
        self._store = store
        self._wallet = wallet
        self._node = node
        self._calls = calls

    @counted
    def balance(self) -> dict[str, Balance]:
        """What there is by asset, bytes ("base") always among them, as the ledger has it now.

        Raises:
            HubError: The hub did not answer, or refused.
            ProofError: Its answer does not prove what it must.
        """
        self._wallet.refresh()
        return self._wallet.balance()

    @counted
    def history(self) -> list[Transaction]:
        """What came and went, the oldest first.

        Raises:
            HubError: The hub did not answer, or refused.
            ProofError: Its answer does not prove what it must.
        """
        return self._wallet.transactions()

    @counted
    def send(self, amount: int, address: str, asset: str = BASE, timeout: float = POSTING_SECONDS) -> str:
        """Sends an amount, leaving the byte reserve in the wallet: now or never, as far as nothing is signed.

        Args:
            amount: In bytes or units of the asset.
            address: Where to.
            asset: `base`, or the asset's id.
            timeout: Seconds to wait until the unit is posted.

        Returns:
            The unit's hash.

        Raises:
            Refusal: For a wrong amount, address or asset.
            NotSent: It could not be paid, or not in time. It can be repeated.
            ChannelTimeout: The unit is signed, but not posted yet; it will be. To repeat it would pay twice.
        """
        check_withdrawal(amount, address, asset)
        with self._store.transaction() as books:
            number = books.outbox.add(
                OutboxKind.WITHDRAWAL,
                aa_address=None,
                period=None,
                details={"address": address, "amount": amount, "asset": asset},
                now=self._node.now(),
            )
        return self._send(number, timeout)

    @counted
    def sweep_out(self, address: str, timeout: float = POSTING_SECONDS) -> Moved:
        """Sends everything that can be spent to an address: every asset, and of bytes all less the fees.

        That leaves nothing to close or contest a channel with, so all have to be closed. Their automatic refills end.

        Args:
            address: Where to.
            timeout: Seconds to wait for each unit until it is posted.

        Returns:
            The units; dust that costs more than it brings, and what others have sent and is not final, stays.

        Raises:
            Refusal: For a wrong address.
            ReserveNeeded: A channel is not closed, or something is on its way.
            NotSent: Not even the first unit could be paid, or not in time.
            ChannelTimeout: A unit is signed, but not posted yet; it will be.
        """
        check_payee(address)
        if address == self._wallet.address:
            raise Refusal(RefusalCode.WRONG_PARAMETERS, "the address is the wallet's own")
        with self._store.transaction() as books:
            require_no_need_for_reserve(books)
            for record in books.channels.with_refill(self._wallet.address):
                books.channels.set_refill(record.channel.aa_address, None)
        assets = sorted(self.balance(), key=lambda asset: (asset == BASE, asset))  # bytes pay for all others
        return self._move(OutboxKind.SWEEP_OUT, assets, address, timeout)

    @counted
    def consolidate(self, asset: str = BASE, timeout: float = POSTING_SECONDS) -> Moved:
        """Makes one coin of many, in as many units as it takes, leaving the byte reserve in the wallet.

        A payment does so by itself as far as it must. To do it beforehand saves time later, not fees.

        Args:
            asset: `base`, or the asset's id.
            timeout: Seconds to wait for each unit until it is posted.

        Returns:
            The units; dust that costs more than it brings stays.

        Raises:
            Refusal: For a wrong asset.
            NotSent: Not even the first unit could be paid, or not in time.
            ChannelTimeout: A unit is signed, but not posted yet; it will be.
        """
        check_asset(asset)
        return self._move(OutboxKind.CONSOLIDATION, [asset], self._wallet.address, timeout)

    def _move(self, kind: OutboxKind, assets: Iterable[str], address: str, timeout: float) -> Moved:
        units: list[str] = []
        least = 2 if kind is OutboxKind.CONSOLIDATION else 1
        for asset in assets:
            while self._count_coins(asset) >= least:
                with self._store.transaction() as books:
                    number = books.outbox.add(
                        kind,
                        aa_address=None,
                        period=None,
                        details=details_of_gathering(asset, address),
                        now=self._node.now(),
                    )
                try:
                    units.append(self._send(number, timeout))
                except NotSent as error:
                    if not units:
                        raise
                    return Moved(tuple(units), str(error))
        return Moved(tuple(units))

    def _count_coins(self, asset: str) -> int:
        self._wallet.refresh()
        return self._wallet.count_coins(asset)

    def _send(self, number: int, timeout: float) -> str:
        """Waits until a row of the outbox is posted; takes the decision back when it cannot be carried out now."""
        self._node.start()
        self._node.wake()
        self._calls.wait_for(lambda: _is_settled(self._row(number)), timeout, self._node.wait_for_change)
        with self._store.transaction() as books:
            is_cancelled = books.outbox.cancel(number, self._node.now())
        row = self._row(number)
        if is_cancelled or row.unit is None:
            raise NotSent(f"nothing was sent: {row.last_error or 'there was no answer in time'}")
        if row.state is OutboxState.FAILED:
            raise NotSent("nothing was sent: another unit has spent the coins")
        if row.state not in _SENT:
            raise ChannelTimeout(
                "the unit is signed, but not posted yet; it goes on by itself: do not repeat it"
            )
        return str(row.unit["unit"])

    def _row(self, number: int) -> OutboxRow:
        with self._store.reading() as books:
            row = books.outbox.get(number)
        assert row is not None, "rows of the outbox are never deleted"
        return row


def _is_settled(row: OutboxRow) -> bool:
    """Whether a row was sent, or cannot be for now."""
    return row.state in _SENT or row.state.is_finished or (row.attempts > 0 and not row.units)
