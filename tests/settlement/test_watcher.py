"""What the watcher makes of the ledger: which units back payments, and what becomes of those that do not hold."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from paypercall.backing import LOSS_WINDOW_SECONDS, NO_BACKING, UNANSWERED_SECONDS, Backing
from paypercall.channel import Channel, Status
from paypercall.contract import ChannelParameters, close_draft, deposit_draft
from paypercall.devnet import Devnet
from paypercall.obyte.amounts import BASE
from paypercall.obyte.composer import Draft, Output
from paypercall.obyte.errors import HubRefused
from paypercall.obyte.light import LightClient
from paypercall.obyte.unit import Unit
from paypercall.obyte.wallet import Wallet
from paypercall.settlement.commands import draft_of
from paypercall.settlement.lease import Lease, LeaseLost
from paypercall.settlement.outbox import Outbox
from paypercall.settlement.spending import Spending
from paypercall.settlement.watcher import TURN_SECONDS
from paypercall.store import OutboxKind, OutboxRow, OutboxState
from tests.devnet.raw_client import RawClient
from tests.parties import wait_until, wallet_on
from tests.settlement.merchant_books import MerchantBooks, WatchedHub, merchant_books
from tests.two_sides import CUSTOMER, PAYEE


@pytest.fixture
def held(net: Devnet) -> Devnet:
    """A network on which nothing becomes stable unless the test settles it."""
    net.hold()
    return net


@pytest.fixture
def books(tmp_path: Path) -> Iterator[MerchantBooks]:
    with merchant_books(tmp_path) as books:
        yield books


@contextmanager
def lagging(folder: Path) -> Iterator[Devnet]:
    """A hub that has not got beyond what another one has in its folder now."""
    shutil.copytree(folder, copy := folder.with_name("lagging"))
    with Devnet(speed=0.001, data=copy) as net:
        yield net


@pytest.fixture
def customer(held: Devnet) -> Iterator[Wallet]:
    wallet = wallet_on(held)
    yield wallet
    wallet.close()


def post(wallet: Wallet, draft: Draft) -> Unit:
    unit = wallet.compose(draft)
    wallet.post(unit)
    return unit


def test_a_unit_that_pays_two_agents_backs_nothing_until_one_of_them_has_taken_it(
    held: Devnet, books: MerchantBooks, customer: Wallet
) -> None:
    """The other one bounces: both would have backed payments that nothing covers in the end."""
    channels = [books.open(customer, salt) for salt in ("one", "two")]
    drafts = [deposit_draft(channel, 50_000, with_definition=True) for channel in channels]
    both = Draft(
        outputs={BASE: tuple(output for draft in drafts for output in draft.outputs[BASE])},
        messages=tuple(message for draft in drafts for message in draft.messages),
    )
    with books.watcher(held) as watcher:
        post(customer, both)
        watcher.refresh()
        assert [books.backing(channel) for channel in channels] == [NO_BACKING, NO_BACKING]
        held.settle()
        watcher.refresh()
    found = [books.channel(channel) for channel in channels]
    assert sorted((channel.status.value, channel.deposited_by_peer) for channel in found) == [
        (Status.CLOSED.value, 0),
        (Status.OPEN.value, 50_000),
    ]


def test_a_deposit_of_our_own_client_backs_payments_at_once(
    held: Devnet, books: MerchantBooks, customer: Wallet
) -> None:
    channel = books.open(customer)
    with books.watcher(held) as watcher:
        post(customer, deposit_draft(channel, 50_000, with_definition=True))
        watcher.refresh()
        assert books.backing(channel) == Backing(amount=50_000)


def test_what_a_deposit_backed_that_came_to_nothing_is_a_loss_and_counts_for_a_while(
    held: Devnet, books: MerchantBooks, customer: Wallet
) -> None:
    """For ever it would block the limit over all channels, and not at all it could be drained again and again."""
    channel = books.open(customer)
    with books.watcher(held) as watcher:
        post(customer, deposit_draft(channel, 50_000, with_definition=False))
        watcher.refresh()
        books.sign(channel, 40_000)
        held.settle()
        watcher.refresh()
        assert (books.exposure(), books.channel(channel).counted_exposure) == (40_000, 40_000)
        books.time += UNANSWERED_SECONDS + 1
        watcher.refresh()
    assert (books.exposure(), books.channel(channel).counted_exposure) == (40_000, 0)
    books.time += LOSS_WINDOW_SECONDS + 1
    assert books.exposure() == 0


def test_what_another_deposit_still_backs_is_no_loss(
    held: Devnet, books: MerchantBooks, customer: Wallet
) -> None:
    channel = books.open(customer)
    with books.watcher(held) as watcher:
        post(customer, deposit_draft(channel, 50_000, with_definition=False))
        watcher.refresh()
        held.settle()
        watcher.refresh()
        books.time += UNANSWERED_SECONDS + 1
        post(customer, deposit_draft(channel, 30_000, with_definition=True))
        books.sign(channel, 40_000)
        watcher.refresh()
        assert (books.exposure(), books.channel(channel).counted_exposure) == (40_000, 30_000)
        held.settle()
        watcher.refresh()
    assert books.channel(channel).deposited_by_peer == 30_000
    books.time += LOSS_WINDOW_SECONDS + 1
    assert books.exposure() == 0


def test_a_close_on_its_way_makes_no_loss_of_what_deposits_still_back(
    held: Devnet, books: MerchantBooks, customer: Wallet
) -> None:
    channel = books.open(customer)
    with books.watcher(held) as watcher:
        post(customer, deposit_draft(channel, 50_000, with_definition=False))
        watcher.refresh()
        held.settle()
        watcher.refresh()
        post(customer, deposit_draft(channel, 60_000, with_definition=True))
        post(customer, close_draft(channel, period=1, transferred_from_me=40_000, sent_by_peer=None))
        books.sign(channel, 40_000)
        books.time += UNANSWERED_SECONDS + 1
        watcher.refresh()
        assert books.backing(channel) == Backing(is_closing=True)
        assert (books.exposure(), books.channel(channel).counted_exposure) == (40_000, 40_000)


def test_a_deposit_that_is_settled_backs_nothing_when_a_hub_that_lags_behind_shows_it_unconfirmed(
    tmp_path: Path, books: MerchantBooks
) -> None:
    """Else it would be there twice: among the confirmed deposits, and as one on its way."""
    with Devnet(speed=20, data=tmp_path / "net") as net, closing(wallet_on(net)) as customer:
        net.hold()
        known, unknown = books.open(customer, "known"), books.open(customer, "unknown")
        post(customer, deposit_draft(known, 50_000, with_definition=True))
        post(customer, deposit_draft(unknown, 40_000, with_definition=False))
        with lagging(tmp_path / "net") as lagging_net:
            with books.watcher(lagging_net) as watcher:
                watcher.refresh()
            assert [unit.amount for unit in books.unconfirmed(known)] == [50_000]
            assert [unit.amount for unit in books.unconfirmed(unknown)] == [40_000]
            net.settle()
            with books.watcher(net) as watcher:
                watcher.refresh()
                books.time += UNANSWERED_SECONDS + 1
                watcher.refresh()
            assert books.channel(known).deposited_by_peer == 50_000
            with books.watcher(lagging_net) as watcher:
                watcher.refresh()
    assert [books.unconfirmed(channel) for channel in (known, unknown)] == [(), ()]


def test_a_deposit_that_was_taken_before_it_was_seen_backs_nothing_either(
    tmp_path: Path, books: MerchantBooks
) -> None:
    with Devnet(speed=20, data=tmp_path / "net") as net, closing(wallet_on(net)) as customer:
        net.hold()
        channel = books.open(customer)
        post(customer, deposit_draft(channel, 50_000, with_definition=True))
        with lagging(tmp_path / "net") as lagging_net:
            net.settle()
            for hub in (net, lagging_net):
                with books.watcher(hub) as watcher:
                    watcher.refresh()
    assert books.channel(channel).deposited_by_peer == 50_000
    assert books.unconfirmed(channel) == ()


def test_a_holder_that_has_slept_books_nothing_of_what_it_saw_before(
    held: Devnet, books: MerchantBooks, customer: Wallet
) -> None:
    """The other one may have seen the answers since, and taken them into account."""
    channel = books.open(customer)
    hub = WatchedHub(held)
    with books.watcher(held, hub) as watcher:
        watcher.refresh()
        post(customer, deposit_draft(channel, 50_000, with_definition=True))
        hub.interruption = books.take_over
        with pytest.raises(LeaseLost):
            watcher.refresh()
    assert books.unconfirmed(channel) == ()


def test_a_holder_that_has_slept_gives_no_unit_up_that_a_hub_did_not_show(
    net: Devnet, books: MerchantBooks
) -> None:
    with closing(wallet_on(net)) as customer, Devnet(speed=0.001) as without:
        channel = books.open(customer)
        with books.watcher(net) as watcher:
            net.hold()
            post(customer, deposit_draft(channel, 50_000, with_definition=True))
            watcher.refresh()
        hub = WatchedHub(without)
        with books.watcher(without, hub) as watcher:
            hub.interruption = books.take_over
            with pytest.raises(LeaseLost):
                watcher.refresh()
        assert books.backing(channel) == Backing(amount=50_000)


def test_a_holder_that_has_slept_finishes_nothing_in_the_outbox(net: Devnet, books: MerchantBooks) -> None:
    with closing(wallet_on(net, PAYEE)) as merchant:
        unit = merchant.compose(Draft(outputs={BASE: (Output(CUSTOMER.address, 5_000),)}))
        with books.store.transaction() as store:
            row = store.outbox.add(OutboxKind.WITHDRAWAL, aa_address=None, period=None, details={}, now=1)
            store.outbox.signed(row, unit, 1)
        merchant.post(unit)
        net.settle()
        hub = WatchedHub(net)
        hub.interruption = books.take_over
        with books.watcher(net, hub) as watcher, pytest.raises(LeaseLost):
            watcher.refresh()
        with books.store.reading() as store:
            assert [row.unit for row in store.outbox.unfinished()] == [unit]


@contextmanager
def sending(net: Devnet, books: MerchantBooks, hub: WatchedHub) -> Iterator[tuple[Outbox, Wallet]]:
    """The outbox at work of a process that holds the lease, with a withdrawal to send."""
    net.fund(PAYEE.address, 1_000_000)
    net.settle()
    with closing(LightClient(hub, net.network)) as light:
        wallet = Wallet(PAYEE, light, max_tps_fee=20_000)
        lease = Lease(books.store, PAYEE.address, books.now)
        details = {"asset": BASE, "address": CUSTOMER.address, "amount": 5_000}
        with books.store.transaction() as store:
            store.outbox.add(OutboxKind.WITHDRAWAL, aa_address=None, period=None, details=details, now=1)
        assert lease.take()
        yield Outbox(books.store, wallet, light, lease, Spending(20_000, 0), books.now, books.now), wallet
        lease.release()


def sign(books: MerchantBooks, wallet: Wallet) -> Unit:
    """Signs another unit for the withdrawal, as a process does before it posts it."""
    row = the_row(books)
    unit = wallet.compose(draft_of(row, None))
    with books.store.transaction() as store:
        store.outbox.signed(row.id, unit, books.time)
    return unit


def the_row(books: MerchantBooks) -> OutboxRow:
    with books.store.reading() as store:
        (row,) = store.outbox.unfinished()
    return row


def test_a_holder_that_has_slept_signs_nothing_that_the_next_one_could_send_too(
    net: Devnet, books: MerchantBooks
) -> None:
    with sending(net, books, WatchedHub(net)) as (outbox, _):
        books.take_over()
        with pytest.raises(LeaseLost):
            outbox.advance()
    row = the_row(books)
    assert (row.state, row.units, row.attempts) == (OutboxState.DECIDED, (), 0)
    assert net.balance(CUSTOMER.address) == 0


def test_a_holder_that_has_slept_posts_nothing_that_the_next_one_may_have_replaced(
    net: Devnet, books: MerchantBooks
) -> None:
    """It would conflict with what the next one has sent since, and a defence could lose against it."""
    with sending(net, books, WatchedHub(net)) as (outbox, wallet):
        unit = sign(books, wallet)
        books.take_over()
        with pytest.raises(LeaseLost):
            outbox.advance()
    row = the_row(books)
    assert (row.state, row.attempts) == (OutboxState.SIGNED, 0)
    assert unit["unit"] not in [joint["unit"]["unit"] for joint in net.units()]


def test_a_holder_that_falls_asleep_while_it_posts_does_not_say_that_another_unit_is_posted(
    net: Devnet, books: MerchantBooks
) -> None:
    hub = WatchedHub(net)
    with sending(net, books, hub) as (outbox, wallet):
        sign(books, wallet)

        def replace_unit() -> None:
            books.take_over()
            sign(books, wallet)

        hub.interruption = replace_unit
        with pytest.raises(LeaseLost):
            outbox.advance()
    assert the_row(books).state is OutboxState.SIGNED


def test_a_pause_between_a_look_and_what_is_made_of_it_lets_no_deposit_come_to_nothing(
    held: Devnet, books: MerchantBooks, customer: Wallet
) -> None:
    """The look is from before the agent's answer was to be seen, however late it is."""
    channel = books.open(customer)
    hub = WatchedHub(held)

    def sleep() -> None:
        books.time += UNANSWERED_SECONDS + 1

    with books.watcher(held, hub) as watcher:
        post(customer, deposit_draft(channel, 50_000, with_definition=True))
        while not any(unit.stable_since for unit in books.unconfirmed(channel)):
            held.step()
            watcher.refresh()
        books.sign(channel, 40_000)
        hub.interruption = sleep
        watcher.refresh()
        assert [unit.amount for unit in books.unconfirmed(channel)] == [50_000]
        assert books.channel(channel).counted_exposure == 40_000
        held.settle()
        watcher.refresh()
    assert books.channel(channel).deposited_by_peer == 50_000
    assert books.exposure() == 0


def test_units_that_a_hub_does_not_list_are_asked_for_all_at_once(
    held: Devnet, books: MerchantBooks, customer: Wallet
) -> None:
    """It lists none that conflicts with another, and none that became stable before the time it is asked about."""
    bounced, hub = books.open(customer), WatchedHub(held)
    with books.watcher(held, hub) as watcher, RawClient(held) as raw, closing(wallet_on(held)) as cheat:
        conflicting = books.open(cheat)
        units = [post(customer, deposit_draft(bounced, 30_000, with_definition=False))]
        watcher.refresh()
        held.settle()
        rival = raw.compose(cheat.key, Draft(outputs={BASE: (Output(cheat.address, 5_000),)}))
        units.append(post(cheat, deposit_draft(conflicting, 20_000, with_definition=True)))
        for _ in range(2):
            watcher.refresh()
        assert books.backing(conflicting).amount == 20_000
        books.sign(conflicting, 15_000)
        raw.say("joint", {"unit": rival})
        assert raw.wait_for("result")["result"] == "accepted"
        hub.asked_by_name.clear()
        watcher.refresh()
    assert hub.asked_by_name == [sorted(unit["unit"] for unit in units)]
    assert books.backing(conflicting) == Backing(is_double_spent=True)
    assert (books.exposure(), books.channel(conflicting).counted_exposure) == (15_000, 0)
    assert [unit.is_double_spent for unit in books.unconfirmed(bounced)] == [False]


def test_a_hub_that_refuses_to_say_what_became_of_units_has_said_nothing_about_them(
    held: Devnet, books: MerchantBooks, customer: Wallet
) -> None:
    channel, hub = books.open(customer), WatchedHub(held)
    with books.watcher(held) as watcher:
        post(customer, deposit_draft(channel, 20_000, with_definition=False))
        watcher.refresh()
        held.settle()
        for _ in range(3):
            watcher.refresh()
    with Devnet(speed=0.001) as without:
        hub = WatchedHub(without)
        hub.refusal = "your witness list might be too much off, too few witness authored units"
        with books.watcher(without, hub) as watcher, pytest.raises(HubRefused):
            watcher.refresh()
    assert len(hub.asked_by_name) == 1
    assert [unit.is_double_spent for unit in books.unconfirmed(channel)] == [False]


def test_a_deposit_that_has_lost_for_good_backs_nothing(
    held: Devnet, books: MerchantBooks, customer: Wallet
) -> None:
    """It comes without its content then, so that nothing but its name tells which channel it was for."""
    channel = books.open(customer)
    with books.watcher(held) as watcher, RawClient(held) as raw:
        rival = raw.compose(customer.key, Draft(outputs={BASE: (Output(customer.address, 5_000),)}))
        post(customer, deposit_draft(channel, 20_000, with_definition=True))
        watcher.refresh()
        raw.say("joint", {"unit": rival})
        assert raw.wait_for("result")["result"] == "accepted"
        held.favour(rival["unit"])
        held.settle()
        watcher.refresh()
    assert books.backing(channel) == Backing(is_double_spent=True)


def test_a_deposit_that_a_hub_lagging_behind_did_not_know_is_no_loss_once_the_ledger_has_it(
    tmp_path: Path, books: MerchantBooks
) -> None:
    with Devnet(speed=20, data=tmp_path / "net") as net, closing(wallet_on(net)) as customer:
        net.hold()
        channel = books.open(customer)
        deposit = customer.compose(deposit_draft(channel, 50_000, with_definition=True))
        with lagging(tmp_path / "net") as lagging_net:
            customer.post(deposit)
            for hub, backing in (
                (net, Backing(amount=50_000)),
                (lagging_net, Backing(is_double_spent=True)),
                (net, Backing(is_double_spent=True)),
            ):
                with books.watcher(hub) as watcher:
                    watcher.refresh()
                assert books.backing(channel) == backing
                books.sign(channel, 40_000)
            assert (books.exposure(), books.channel(channel).counted_exposure) == (40_000, 0)
            net.settle()
            with books.watcher(net) as watcher:
                watcher.refresh()
    assert books.channel(channel).deposited_by_peer == 50_000
    assert (books.unconfirmed(channel), books.exposure()) == ((), 0)


def test_a_holder_that_has_slept_takes_no_channel_up(net: Devnet, books: MerchantBooks) -> None:
    """What it saw may be from before the period that is open: of its channel, less would count as forgotten."""
    hub = WatchedHub(net)
    with closing(wallet_on(net)) as customer, books.watcher(net, hub) as watcher:
        channel = ChannelParameters(PAYEE.address, customer.address, BASE, "a salt", 3600)
        with books.store.transaction() as store:
            store.announced.add(channel, books.time, limit=9, limit_by_customer=9)
        post(customer, deposit_draft(channel, 50_000, with_definition=True))
        net.settle()
        hub.interruption = books.take_over
        with pytest.raises(LeaseLost):
            watcher.refresh()
    with books.store.reading() as store:
        assert store.channels.get(channel.aa_address) is None
        assert store.announced.all() == [channel]


def test_a_holder_that_has_slept_does_not_say_since_when_the_books_are_complete(
    net: Devnet, books: MerchantBooks
) -> None:
    """It looked when they were new, and nothing could be forgotten; the next one may have looked since."""
    channel = ChannelParameters(CUSTOMER.address, PAYEE.address, BASE, "a salt", 3600)
    with books.store.transaction() as store:
        store.channels.add(Channel(channel, PAYEE.address), created_at=books.time)
    hub = WatchedHub(net)
    with closing(wallet_on(net, PAYEE)) as other_books, books.watcher(net, hub) as watcher:
        watcher.refresh()
        post(other_books, deposit_draft(channel, 50_000, with_definition=True))
        hub.interruption = books.take_over
        with pytest.raises(LeaseLost):
            watcher.refresh()
    with books.store.reading() as store:
        identity = store.node.identity()
    assert identity is not None
    assert identity.complete_since == 0


def test_each_of_the_other_hubs_is_asked_about_each_channel(
    net: Devnet, books: MerchantBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an even number of questions a round, turn and turn about would have each channel asked of one hub only."""
    monkeypatch.setattr("paypercall.settlement.following.BATCH", 2)
    followed = {PAYEE.address} | {books.open(CUSTOMER, salt).aa_address for salt in "abc"}
    first, *others = hubs = [WatchedHub(net) for _ in range(3)]
    with ExitStack() as stack:
        for hub in hubs:
            stack.enter_context(closing(hub)).start()
        wait_until(lambda: all(hub.is_connected for hub in hubs), "all are connected")
        watcher = stack.enter_context(books.watcher(net, first, others))
        for _ in range(8):
            watcher.refresh()
            books.time += TURN_SECONDS
    for hub in others:
        assert {address for asked in hub.asked_addresses for address in asked} == followed
