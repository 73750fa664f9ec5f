"""The wallet of one address: what it has, and signed units that spend it.

It composes one unit after the other, each upon its own answer of the hub, because units made from one answer
can conflict or underpay. It keeps its coins in memory and learns of them from verified histories only. It
must not spend what others have not confirmed, nor pay a fee above its owner's limit, nor store anything: that
is the outbox's business.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from weakref import WeakSet

from paypercall.obyte.amounts import BASE
from paypercall.obyte.coins import Balance, CoinBook
from paypercall.obyte.composer import Coin, Draft, Message, Output, Parents, bytes_left, compose
from paypercall.obyte.errors import (
    FeeTooHigh,
    HistoryTooLarge,
    HubError,
    HubRefused,
    InsufficientFunds,
    InvalidUnit,
)
from paypercall.obyte.final_units import FinalUnit
from paypercall.obyte.gathering import coins_of_worth, gather
from paypercall.obyte.keys import Key
from paypercall.obyte.light import LightClient
from paypercall.obyte.proof import History
from paypercall.obyte.transactions import Transaction, transactions_of
from paypercall.obyte.unit import Unit, unit_hash

__all__ = ["Balance", "Transaction", "Wallet"]

_logger = logging.getLogger(__name__)

_Plan = Callable[[list[Coin], tuple[Coin, ...]], tuple[Draft, tuple[Coin, ...]]]
"""Given the coins, and those to spend in any case: what a unit does, and what it must spend."""


class Wallet:
    """A single-signature wallet for bytes and public divisible assets; safe to use from many threads.

    Only one process may spend from an address at a time.

    Args:
        key: Signs.
        light: The hub, verified.
        max_tps_fee: The most that a unit may pay as TPS fee, in bytes, unless `compose` is told otherwise.
    """

    def __init__(self, key: Key, light: LightClient, *, max_tps_fee: int) -> None:
        self.key = key
        self.address = key.address
        self.light = light
        self._max_tps_fee = max_tps_fee
        self._book = CoinBook(key.address)
        self._losses_seen = 0
        self._losses_explained = 0
        self._misses_open_units = False
        self._asked_from: int | None = None
        self._reached: int | None = None
        self._make_locks()
        _wallets.add(self)

    def _make_locks(self) -> None:
        self._lock = Lock()
        self._refreshing = Lock()
        self._composing = Lock()

    def close(self) -> None:
        """Closes the connection to the hub."""
        self.light.close()

    def refresh(self) -> None:
        """Learns from the hub what is new; everything at the first time.

        Raises:
            HistoryTooLarge: Older coins are missing; the newest are known now.
            HubError: The hub did not answer, or refused.
            ProofError: Its answer does not prove what it must.
        """
        with self._refreshing:
            # What was stable before the hub was asked is in its answer for sure; what the answer's own last
            # ball covers may have come while it was made. So the next time begins at the former.
            reached = self._reached
            if reached is None:
                reached = self.light.parents([self.address], [self.address]).last_ball_mci
            with self._lock:
                undecided = self._book.undecided_units()
                losses = self._losses_seen
            history = self.light.history(
                [self.address], requested_units=undecided, min_main_chain_index=self._asked_from
            )
            if history.too_large:
                self.absorb(history)
                history = self.light.long_history(self.address, self._asked_from)
            self.absorb(history)
            self._losses_explained = losses
            self._misses_open_units = False
            if history.too_large:
                raise HistoryTooLarge(self.address)
            proven = history.last_ball_main_chain_index or reached
            self._asked_from = min(reached, proven)
            self._reached = proven

    def absorb(self, history: History) -> None:
        """Takes in a history, in any order and as often as it comes; units of no concern are left out."""
        with self._lock:
            waiting = set(self._book.open_own_units())
            for entry in history.units:
                self._book.take(entry)
                if entry.is_final_bad and entry.hash in waiting:
                    # Another unit with our signature has won. It may spend coins that this history does not
                    # show.
                    self._losses_seen += 1

    def learn(self, final_units: Iterable[FinalUnit]) -> None:
        """Takes in what `final_units` gave out before, of this wallet or an earlier one of the same address.

        Nothing is composed upon it before the ledger was asked for what is not final yet: else a coin could be
        spent twice.
        """
        with self._lock:
            changes = self._book.changes
            for final in final_units:
                self._book.learn(final)
            self._misses_open_units |= self._book.changes != changes

    def final_units(self, after: int = 0) -> list[FinalUnit]:
        """What is known for good, in the order in which it came, without so many of the first: worth to be kept."""
        with self._lock:
            return self._book.final_units(after)

    def ask_from(self, main_chain_index: int) -> None:
        """Lets `refresh` leave out what is stable below an index: all of it was taken in, and all that was open."""
        with self._lock:
            self._asked_from = main_chain_index
            self._misses_open_units = False

    def adopt(self, unit: Unit) -> None:
        """Takes in a signed unit of ours that was made before: its inputs are spent, its change is there.

        Raises:
            InvalidUnit: It is not of this address alone, or its hash is wrong.
        """
        if unit_hash(unit) != unit["unit"]:
            raise InvalidUnit(f"the hash of unit {unit['unit']} is wrong")
        with self._lock:
            self._book.adopt(unit)

    def forget(self, unit: str) -> None:
        """Gives back what a unit of ours spends that was refused, or will never be posted; by its hash."""
        with self._lock:
            self._book.forget(unit)

    def has_lost(self, unit: str) -> bool:
        """Whether a known unit of ours can never become good: one that conflicts with it is stable."""
        with self._lock:
            return self._book.has_lost(unit)

    def balance(self) -> dict[str, Balance]:
        """What there is, by asset; bytes ("base") always among them."""
        with self._lock:
            return self._book.balances()

    def transactions(self) -> list[Transaction]:
        """What came and went, the oldest first; all of it is asked for anew.

        Raises:
            HistoryTooLarge: There is more than a hub gives.
            HubError: The hub did not answer, or refused.
            ProofError: Its answer does not prove what it must.
        """
        history = self.light.history([self.address])
        if history.too_large:
            history = self.light.long_history(self.address)
        if history.too_large:
            raise HistoryTooLarge(self.address)
        histories = [history]
        stripped = [
            entry.hash for entry in histories[0].units if entry.is_stripped and not entry.is_final_bad
        ]
        if stripped:
            histories.append(self.light.history((), requested_units=stripped))
        return transactions_of(self.address, *histories)

    def spendable_bytes(self) -> int:
        """The bytes that can be spent now: not what others have sent and is unconfirmed."""
        with self._lock:
            return sum(coin.amount for coin in self._book.spendable() if coin.asset == BASE)

    def count_coins(self, asset: str) -> int:
        """How many coins of an asset can be spent now and bring more than their input costs."""
        with self._lock:
            return len(coins_of_worth(self._book.spendable(), asset))

    def compose(
        self,
        draft: Draft,
        *,
        instead_of: Sequence[Unit] = (),
        max_tps_fee: int | None = None,
        keep: int = 0,
    ) -> Unit:
        """Composes and signs a unit, and counts its coins as spent from now on.

        Post or forget it before the next one is composed: two units of an address that do not know of each
        other conflict, even if they spend different coins.

        Args:
            draft: What the unit shall do.
            instead_of: Units of ours that this one replaces. It spends a coin of each, so that at most one of
                them all becomes stable.
            max_tps_fee: Bytes; by default the wallet's limit.
            keep: Bytes that must be left to spend afterwards.

        Raises:
            FeeTooHigh: The network asks for more than `max_tps_fee`; nothing was composed.
            InsufficientFunds: The coins do not suffice, or less than `keep` would be left.
            TooManyCoins: They would suffice, if they were consolidated first.
            InvalidUnit: The draft asks for what the network refuses, or a unit to replace is stable.
            UnitTooLarge: The unit would be larger than the network takes it without a further fee.
            HubError: The hub did not answer, or refused.
            ProofError: A history that was needed does not prove what it must.
        """
        with self._composing:
            return self._compose(draft, instead_of, max_tps_fee, keep)

    def gather(
        self,
        asset: str,
        address: str,
        *,
        instead_of: Sequence[Unit] = (),
        max_tps_fee: int | None = None,
        keep: int = 0,
    ) -> Unit:
        """Composes a unit that moves coins of an asset as a whole: the largest, as many as fit, less the fees.

        Args:
            asset: "base" or the asset's id.
            address: Where to; one's own, to make one coin of many.
            instead_of: As for `compose`.
            max_tps_fee: As for `compose`.
            keep: As for `compose`.

        Raises:
            InsufficientFunds: There is nothing to move, or it does not pay for its own fees.
            PaypercallError: As `compose`.
        """

        def plan(coins: list[Coin], must_spend: tuple[Coin, ...]) -> tuple[Draft, tuple[Coin, ...]]:
            return gather(coins, asset, address, must_spend)

        with self._composing:
            return self._compose_as_planned(plan, Draft(change_to=address), instead_of, max_tps_fee, keep)

    def post(self, unit: Unit) -> None:
        """Posts a unit of ours.

        Raises:
            HubRefused: The hub refused it: replace or forget it.
            HubError: The outcome is unknown: post the same unit again.
        """
        self.light.post(unit)
        with self._lock:
            self._book.note_posted(unit["unit"])

    def pay(self, outputs: Iterable[Output], asset: str = BASE, messages: Iterable[Message] = ()) -> Unit:
        """Composes a unit that pays and posts it, before any other is composed.

        Raises:
            HubRefused: The hub refused the unit; its coins are free again.
            HubError: The outcome is unknown even after a second attempt, or the second one was refused, which
                leaves it unknown, too; the coins count as spent.
            PaypercallError: As `compose`.
        """
        with self._composing:
            unit = self._compose(Draft({asset: tuple(outputs)}, tuple(messages)), (), None, 0)
            try:
                self.post(unit)
            except HubRefused:
                self.forget(unit["unit"])
                raise
            except HubError as error:
                _logger.warning("unit %s is posted again: %s", unit["unit"], error)
                self.post(unit)  # a refusal now proves nothing: the first attempt may have succeeded
            return unit

    def _compose(self, draft: Draft, instead_of: Sequence[Unit], max_tps_fee: int | None, keep: int) -> Unit:
        return self._compose_as_planned(
            lambda coins, must_spend: (draft, must_spend), draft, instead_of, max_tps_fee, keep
        )

    def _compose_as_planned(
        self, plan: _Plan, outline: Draft, instead_of: Sequence[Unit], max_tps_fee: int | None, keep: int
    ) -> Unit:
        """Composes what a plan makes of the coins, of which the outline tells the payees beforehand."""
        if self._misses_open_units or self._losses_explained < self._losses_seen:
            self._refresh_to_spend()
        parents = self.light.parents(
            [self.address], [self.address, *outline.payees], outline.max_aa_responses
        )
        limit = self._max_tps_fee if max_tps_fee is None else max_tps_fee
        if parents.tps_fee > limit:
            raise FeeTooHigh(f"the network asks a TPS fee of {parents.tps_fee} bytes, the limit is {limit}")
        with self._lock:
            changes = self._book.changes
        try:
            return self._sign(plan, parents, instead_of, keep)
        except InsufficientFunds:
            self._refresh_to_spend()
            with self._lock:
                has_learnt = self._book.changes != changes
            if not has_learnt:
                raise
        return self._sign(plan, parents, instead_of, keep)

    def _refresh_to_spend(self) -> None:
        """Learns what is new, and goes on with the newest coins where older ones are out of reach.

        Nobody must be able to keep a defence from being paid by sending dust.
        """
        try:
            self.refresh()
        except HistoryTooLarge as error:
            _logger.error("%s: %s", error.code, error)

    def _sign(self, plan: _Plan, parents: Parents, instead_of: Sequence[Unit], keep: int) -> Unit:
        with_definition = self._needs_definition(parents.last_ball_mci)
        with self._lock:
            coins, rivals_coins = self._book.spendable_instead_of(*instead_of)
            draft, must_spend = plan(coins, rivals_coins)
            unit = compose(
                self.light.network,
                self.key,
                draft,
                coins,
                parents,
                with_definition=with_definition,
                must_spend=must_spend,
            )
            left = bytes_left(coins, unit, self.address)
            if left < keep:
                raise InsufficientFunds(f"{left} bytes would be left of the {keep} that are held back")
            self._book.adopt(unit)
        return unit

    def _needs_definition(self, last_ball_index: int) -> bool:
        """Whether no unit of ours is stable at the last ball.

        One that is proven to be stable is so for good, wherever a hub says that it is: with an index of one hub in the
        books, no other would take our units any more. The last balls that a hub gives go on from there.

        The proof of our first units lags behind the ledger. Until it is there, the hub is asked how far they
        are; if it lies, it refuses the unit itself.
        """
        with self._lock:
            is_proven = self._book.has_own_final_unit
            unproven = self._book.open_own_units()
        if is_proven:
            return False
        if not unproven:
            return True
        history = self.light.history((), requested_units=unproven)
        self.absorb(history)
        return not any(
            entry.main_chain_index is not None
            and entry.main_chain_index <= last_ball_index
            and not entry.is_final_bad
            and entry.hash in unproven
            for entry in history.units
        )


def _hold_all() -> None:
    _forking.acquire()
    _held.extend(_wallets)
    for wallet in _held:
        wallet._lock.acquire()


def _release_all() -> None:
    while _held:
        _held.pop()._lock.release()
    _forking.release()


def _begin_in_child() -> None:
    while _held:
        _held.pop()._make_locks()
    _forking.release()


_wallets: WeakSet[Wallet] = WeakSet()
_held: list[Wallet] = []
_forking = Lock()
# A fork must not happen while another thread is in the middle of the books.
os.register_at_fork(before=_hold_all, after_in_parent=_release_all, after_in_child=_begin_in_child)
