"""A node that starts goes on from what the books know of the ledger, and loses nothing by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from paypercall.channel import NEVER, Status
from paypercall.contract import ChannelParameters, close_draft, deposit_draft
from paypercall.devnet import Devnet
from paypercall.obyte.hub import REQUEST_SECONDS, Hub
from paypercall.obyte.wallet import Balance, Wallet
from paypercall.server import Server
from paypercall.settlement import progress
from paypercall.settlement.following import CLOCKS_DIFFER_SECONDS
from paypercall.settlement.reader import Reader
from paypercall.settlement.watcher import TURN_SECONDS, Watcher
from paypercall.store import Position, StoreError, Subject
from paypercall.store.coins import Coins
from tests.hub_proxy import Fault, Frame, HubProxy
from tests.parties import conf_for, merchant_on, wait_until, wallet_on
from tests.settlement.faults import AHEAD, HISTORY, claim_too_long_a_chain
from tests.settlement.merchant_books import MerchantBooks, merchant_books
from tests.two_sides import PAYEE


class CountingHub(Hub):
    """A connection that notes the least index from which each address is asked about, and which units come."""

    def __init__(self, net: Devnet) -> None:
        super().__init__(net.url, net.network)
        self.asked_from: dict[str, int] = {}
        self.units: set[str] = set()

    def request(self, command: str, params: Any = None, timeout: float = REQUEST_SECONDS) -> Any:
        answer = super().request(command, params, timeout)
        if command == "light/get_history" and "addresses" in params:
            for address in params["addresses"]:
                index = params.get("min_mci", 0)
                self.asked_from[address] = min(index, self.asked_from.get(address, index))
            self.units |= {joint["unit"]["unit"] for joint in answer.get("joints", ())}
        return answer


@pytest.fixture
def held(net: Devnet) -> Devnet:
    """A network on which nothing becomes stable unless the test settles it."""
    net.hold()
    return net


@pytest.fixture
def books(tmp_path: Path) -> Iterator[MerchantBooks]:
    with merchant_books(tmp_path) as books:
        yield books


@pytest.fixture
def customer(held: Devnet) -> Iterator[Wallet]:
    with closing(wallet_on(held)) as wallet:
        yield wallet


def deposit(net: Devnet, customer: Wallet, channel: ChannelParameters) -> None:
    customer.post(customer.compose(deposit_draft(channel, 50_000, with_definition=True)))
    net.settle()


def close(net: Devnet, customer: Wallet, channel: ChannelParameters) -> None:
    customer.post(customer.compose(close_draft(channel, period=1, transferred_from_me=0, sent_by_peer=None)))
    net.settle()


def fund(net: Devnet, count: int) -> None:
    """Pays the merchant's wallet so often."""
    for _ in range(count):
        net.fund(PAYEE.address, 10_000)
        net.settle()


def look(books: MerchantBooks, watcher: Watcher) -> None:
    """Looks until all that was on the ledger before is taken, and how far that was is noted."""
    for _ in range(3):
        watcher.refresh()
        books.time += TURN_SECONDS


def balance(watcher: Watcher) -> dict[str, Balance]:
    return watcher._reader._wallet.balance()


def look_from_the_start(net: Devnet, books: MerchantBooks) -> tuple[CountingHub, dict[str, Balance]]:
    """Starts a process that looks twice; gives its connection, and what it finds in the wallet."""
    hub = CountingHub(net)
    with books.watcher(net, hub) as watcher:
        watcher.resume()
        watcher.refresh()
        watcher.refresh()
        return hub, balance(watcher)


def position(books: MerchantBooks, subject: Subject) -> Position | None:
    with books.store.reading() as rows:
        return rows.positions.get(subject)


def put_position(books: MerchantBooks, hub: str, index: int) -> None:
    with books.store.transaction() as rows:
        for subject in Subject:
            rows.positions.put(subject, Position(hub, index, books.time))


def test_a_start_asks_only_for_what_came_since_the_last_look(
    held: Devnet, books: MerchantBooks, customer: Wallet
) -> None:
    channel = books.open(customer)
    books.time += CLOCKS_DIFFER_SECONDS + 1
    deposit(held, customer, channel)
    fund(held, 10)
    with books.watcher(held) as watcher:
        look(books, watcher)
        before = balance(watcher)
    assert before == {"base": Balance(100_000, 0)}
    hub, after = look_from_the_start(held, books)
    assert after == before
    assert not hub.units
    assert all(hub.asked_from[address] > 0 for address in (PAYEE.address, channel.aa_address))
    fund(held, 2)
    hub, after = look_from_the_start(held, books)
    assert (len(hub.units), after) == (2, {"base": Balance(120_000, 0)})
    assert books.channel(channel).deposited_by_peer == 50_000


def test_a_close_while_the_node_was_down_is_seen_from_the_position_on(
    held: Devnet, books: MerchantBooks, customer: Wallet
) -> None:
    channel = books.open(customer)
    books.time += CLOCKS_DIFFER_SECONDS + 1
    deposit(held, customer, channel)
    fund(held, 3)
    with books.watcher(held) as watcher:
        look(books, watcher)
    close(held, customer, channel)
    hub, _ = look_from_the_start(held, books)
    assert hub.asked_from[channel.aa_address] > 0
    assert books.channel(channel).status is Status.CLOSING


def test_a_channel_that_is_newer_than_the_position_is_asked_for_whole(
    held: Devnet, books: MerchantBooks, customer: Wallet
) -> None:
    with books.watcher(held) as watcher:
        elsewhere = ChannelParameters(PAYEE.address, customer.address, "base", "a salt", 3600)
        deposit(held, customer, elsewhere)
        fund(held, 3)
        books.open(customer, "another")
        look(books, watcher)
    assert position(books, Subject.CHANNELS) is not None
    channel = books.open(customer)
    assert channel == elsewhere
    hub, _ = look_from_the_start(held, books)
    assert hub.asked_from[channel.aa_address] == 0
    assert hub.asked_from[PAYEE.address] > 0
    assert books.channel(channel).deposited_by_peer == 50_000


def test_a_crash_before_the_position_is_noted_only_costs_a_longer_history(
    held: Devnet, books: MerchantBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise InterruptedError

    fund(held, 5)
    with monkeypatch.context() as crashing, books.watcher(held) as watcher:
        crashing.setattr(Reader, "save_positions", crash)
        with pytest.raises(InterruptedError):
            look(books, watcher)
    with books.store.reading() as rows:
        assert len(rows.coins.all()) == 5
    assert position(books, Subject.WALLET) is None
    hub, found = look_from_the_start(held, books)
    assert (len(hub.units), found) == (5, {"base": Balance(50_000, 0)})


def test_no_position_is_noted_before_the_coins_are_saved(
    held: Devnet, books: MerchantBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_add, failures = Coins.add, iter([True])

    def add(self: Coins, *args: Any) -> None:
        really_add(self, *args)
        if next(failures, False):
            raise StoreError("the database failed: disk I/O error")

    monkeypatch.setattr(Coins, "add", add)
    with books.watcher(held) as watcher:
        watcher.refresh()
        fund(held, 5)
        with pytest.raises(StoreError):
            watcher.refresh()
        index = position(books, Subject.WALLET)
        look(books, watcher)
        assert position(books, Subject.WALLET) != index
    assert look_from_the_start(held, books)[1] == {"base": Balance(50_000, 0)}


def test_a_process_that_takes_over_later_goes_on_from_where_the_other_one_was(
    held: Devnet, books: MerchantBooks
) -> None:
    fund(held, 2)
    hub = CountingHub(held)
    with books.watcher(held, hub) as first:
        look(books, first)
        fund(held, 5)
        books.time += 60  # it has slept
        with books.watcher(held) as second:
            second.resume()
            look(books, second)
        books.time += 60
        with books.store.transaction() as rows:
            assert rows.lease.take(PAYEE.address, first._reader._lease._holder, books.time, 60)
        hub.units.clear()
        first.resume()
        assert balance(first) == {"base": Balance(70_000, 0)}
        first.refresh()
        assert not hub.units


@pytest.mark.parametrize(("url", "step_back"), [("the same", 0), ("ws://another", 10)])
def test_the_index_of_another_hub_is_believed_less(
    held: Devnet, books: MerchantBooks, monkeypatch: pytest.MonkeyPatch, url: str, step_back: int
) -> None:
    monkeypatch.setattr(progress, "INDICES_BETWEEN_HUBS", 10)
    fund(held, 20)
    put_position(books, held.url if url == "the same" else url, 15)
    hub, _ = look_from_the_start(held, books)
    assert hub.asked_from[PAYEE.address] == 15 - step_back


def test_an_index_far_beyond_the_main_chain_is_not_believed(held: Devnet, books: MerchantBooks) -> None:
    fund(held, 3)
    put_position(books, held.url, 1_000_000)
    hub, found = look_from_the_start(held, books)
    assert (hub.asked_from[PAYEE.address], found) == (0, {"base": Balance(30_000, 0)})


def test_a_change_of_hubs_between_the_start_and_the_first_look_hides_nothing(
    held: Devnet, books: MerchantBooks, customer: Wallet
) -> None:
    channel = books.open(customer)
    books.time += CLOCKS_DIFFER_SECONDS + 1
    deposit(held, customer, channel)
    with books.watcher(held) as watcher:
        look(books, watcher)
    close(held, customer, channel)
    with HubProxy(held.url) as line, line.fault(claim_too_long_a_chain):
        put_position(books, line.url, AHEAD)
        hub = Hub(line.url, held.network)
        with books.watcher(held, hub, others=[Hub(held.url, held.network)]) as watcher:
            watcher.resume()
            watcher._light._hubs.leave(hub, "another thread met a fault")
            look(books, watcher)
    assert books.channel(channel).status is Status.CLOSING


def test_a_hub_that_was_in_use_for_a_moment_within_a_look_hides_nothing(
    held: Devnet, books: MerchantBooks, customer: Wallet
) -> None:
    channel = books.open(customer)
    with HubProxy(held.url) as honest, HubProxy(held.url) as lying, lying.fault(claim_too_long_a_chain):
        hubs = {line: Hub(line.url, held.network) for line in (honest, lying)}
        with books.watcher(held, hubs[honest], others=[hubs[lying]]) as watcher:
            look(books, watcher)
            deposit(held, customer, channel)

            def leaving(line: HubProxy) -> Fault:
                """Another thread meets a fault of the hub whenever that one has answered."""

                def fault(frame: Frame) -> None:
                    if frame.is_from_hub and frame.kind == "response" and frame.name == HISTORY:
                        watcher._light._hubs.leave(hubs[line], "another thread met a fault")

                return fault

            with honest.fault(leaving(honest)), lying.fault(leaving(lying)):
                watcher.refresh()
            assert lying.requests(HISTORY)
            for _ in range(3):
                look(books, watcher)
            close(held, customer, channel)
            look(books, watcher)
    assert books.channel(channel).status is Status.CLOSING


def test_an_older_copy_with_its_position_is_noticed_by_the_ledger(
    held: Devnet, books: MerchantBooks, customer: Wallet, tmp_path: Path
) -> None:
    channel = books.open(customer)
    books.time += CLOCKS_DIFFER_SECONDS + 1
    deposit(held, customer, channel)
    fund(held, 5)
    with books.watcher(held) as watcher:
        look(books, watcher)
        with books.store.transaction() as rows:
            rows.node.set_synced_at(books.time)
    with closing(wallet_on(held, PAYEE, funds=0)) as newer:
        newer.refresh()
        newer.post(newer.compose(close_draft(channel, period=1, transferred_from_me=0, sent_by_peer=None)))
    held.settle()
    hub, _ = look_from_the_start(held, books)
    assert hub.asked_from[PAYEE.address] > 0
    assert books.channel(channel).signs_from_period == NEVER


def test_a_channel_that_cannot_be_taken_keeps_the_position_of_the_channels_but_not_of_the_wallet(
    held: Devnet, books: MerchantBooks, customer: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bool:
        raise StoreError("the database failed: disk I/O error")

    channel = books.open(customer)
    deposit(held, customer, channel)
    with monkeypatch.context() as failing, books.watcher(held) as watcher:
        failing.setattr(Reader, "_take_channel", fail)
        look(books, watcher)
    assert position(books, Subject.CHANNELS) is None
    assert position(books, Subject.WALLET) is not None
    look_from_the_start(held, books)
    assert books.channel(channel).deposited_by_peer == 50_000


@pytest.fixture
def small_answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The hub gives 8 units at once and takes as many names of known ones, within the context of what this gives."""
    with monkeypatch.context() as limited:
        limit_answers(limited, 8)
        yield limited


def limit_answers(limited: pytest.MonkeyPatch, units: int) -> None:
    for name in ("devnet.history.MAX_ITEMS", "obyte.histories.HISTORY_LIMIT", "obyte.light.HISTORY_LIMIT"):
        limited.setattr(f"paypercall.{name}", units)


@pytest.mark.usefixtures("small_answers")
def test_coins_that_a_hub_cannot_give_at_once_are_taken_in_parts(
    held: Devnet, books: MerchantBooks, caplog: pytest.LogCaptureFixture
) -> None:
    fund(held, 2)
    with books.watcher(held) as watcher:
        look(books, watcher)
        fund(held, 13)
        look(books, watcher)
        assert balance(watcher) == {"base": Balance(150_000, 0)}
    noted = position(books, Subject.WALLET)
    assert noted is not None
    assert noted.main_chain_index > 13
    assert "history_too_large" not in caplog.text


def test_coins_that_are_out_of_reach_are_told_and_asked_for_again_at_the_next_start(
    held: Devnet, books: MerchantBooks, small_answers: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fund(held, 2)
    with books.watcher(held) as watcher:
        look(books, watcher)
        fund(held, 20)
        look(books, watcher)
        missing = balance(watcher)["base"].stable
        assert 160_000 <= missing < 220_000
        assert "history_too_large" in caplog.text
        fund(held, 1)
        look(books, watcher)
        assert balance(watcher) == {"base": Balance(missing + 10_000, 0)}
    limit_answers(small_answers, 2_000)
    assert look_from_the_start(held, books)[1] == {"base": Balance(230_000, 0)}


def test_a_wallet_with_more_units_than_a_hub_gives_at_once_can_still_pay_after_a_restart(
    net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paypercall.devnet.history.MAX_ITEMS", 30)
    monkeypatch.setattr("paypercall.settlement.node.REFRESH_SECONDS", 0.2)
    with merchant_on(net, tmp_path / "merchant", funds=100_000) as merchant:
        for number in range(1, 41):
            net.fund(merchant.address, 10_000)
            net.settle()
            if number % 10 == 0:
                expected = {"base": Balance(100_000 + 10_000 * number, 0)}
                wait_until(lambda expected=expected: merchant.wallet.balance() == expected, "all is there")
        kept = merchant._store

        def is_noted() -> bool:
            with kept.reading() as rows:
                found = rows.positions.get(Subject.WALLET)
            return found is not None and found.main_chain_index > 60

        before = merchant.wallet.balance()
        wait_until(is_noted, "the position has gone on")
    merchant.wallet.close()
    again = Server(
        wallet=wallet_on(net, merchant.wallet.key, funds=0), conf=conf_for(net, tmp_path / "merchant")
    )
    with again:
        wait_until(lambda: again.wallet.balance() == before, "the coins are there again")
        again.withdraw(400_000, PAYEE.address)
    again.wallet.close()
