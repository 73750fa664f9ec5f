"""A merchant cannot be blinded: neither by dust, nor by announcements, nor by a hub that leaves something out.

In each case the customer closes with a lie, and how long the proof of its fraud took is told at the end of the run.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paypercall.client import Client
from paypercall.contract import ChannelParameters, close_draft, deposit_draft
from paypercall.devnet import Devnet
from paypercall.errors import RefusalCode
from paypercall.obyte.amounts import BASE
from paypercall.obyte.hub import Hub
from paypercall.obyte.keys import Key, key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.obyte.wallet import Wallet
from paypercall.package import compose_package
from paypercall.server import Server
from paypercall.settlement.discovery import ANNOUNCEMENT_SECONDS, MAX_ANNOUNCED
from paypercall.settlement.watcher import TURN_SECONDS
from tests.devnet.raw_client import RawClient
from tests.hub_proxy import Arrival, Fault, Frame, HangUp, HubProxy, in_response
from tests.parties import conf_for, parameters_of, pay, wait_until, wait_until_open, wallet_on
from tests.settlement.faults import (
    AHEAD,
    HISTORY,
    USELESS,
    claim_too_long_a_chain,
    commands,
    far_ahead,
)
from tests.settlement.merchant_books import WatchedHub, merchant_books
from tests.two_sides import CUSTOMER, PAYEE

LIMIT = 50
"""Units in a history, where the hub's real limit would make a test slow."""

Record = Callable[[str, object], None]


@pytest.fixture
def proxy(net: Devnet) -> Iterator[HubProxy]:
    with HubProxy(net.url) as proxy:
        yield proxy


@contextmanager
def wallet_through(net: Devnet, *urls: str) -> Iterator[Wallet]:
    """A wallet with bytes in it and these hubs."""
    key = key_from_mnemonic(new_mnemonic())
    net.fund(key.address, 1_000_000)
    net.settle()
    hub, *others = [Hub(url, net.network) for url in urls]
    with closing(Wallet(key, LightClient(hub, net.network, others=others), max_tps_fee=20_000)) as wallet:
        yield wallet


@contextmanager
def merchant_through(net: Devnet, folder: Path, *urls: str) -> Iterator[Server]:
    """A merchant with these hubs."""
    with (
        wallet_through(net, *urls) as wallet,
        Server(wallet=wallet, conf=conf_for(net, folder / "merchant")) as merchant,
    ):
        yield merchant


@contextmanager
def customer_through(net: Devnet, folder: Path, merchant: Server, url: str) -> Iterator[Client]:
    """A customer with this hub, who has paid 60,000 of 100,000."""
    with (
        wallet_through(net, url) as wallet,
        Client(merchant.address, wallet=wallet, conf=conf_for(net, folder / "customer")) as customer,
    ):
        pay(customer, merchant, 60_000)
        wait_until_open(customer, merchant)
        yield customer


@pytest.fixture
def merchant(net: Devnet, proxy: HubProxy, tmp_path: Path) -> Iterator[Server]:
    with merchant_through(net, tmp_path, proxy.url) as merchant:
        yield merchant


@pytest.fixture
def customer(net: Devnet, proxy: HubProxy, merchant: Server, tmp_path: Path) -> Iterator[Client]:
    with customer_through(net, tmp_path, merchant, proxy.url) as customer:
        yield customer


def lie(net: Devnet, customer: Client) -> None:
    """The customer closes as if it had paid nothing."""
    draft = close_draft(
        parameters_of(net, customer.aa_address), period=1, transferred_from_me=0, sent_by_peer=None
    )
    with RawClient(net) as line:
        line.post(customer.wallet.key, draft)


def scatter_dust(net: Devnet, agent: str, units: int) -> None:
    for _ in range(units):
        net.fund(agent, 1)


def too_large(proxy: HubProxy) -> list[Frame]:
    """The refusals of a hub to give a history."""
    return [
        frame for frame in list(proxy.passed) if frame.is_from_hub and "history is too large" in frame.text
    ]


@contextmanager
def contested(net: Devnet, merchant: Server, customer: Client, record: Record) -> Iterator[None]:
    """In the block the customer lies; after it the merchant must post the proof of the fraud.

    The times are those from the close to the proof: between the moments at which the hub had them, and between what
    the units themselves say.
    """
    began = time.monotonic()
    yield
    wait_until(lambda: "fraud_proof" in commands(net, merchant), "the fraud proof is posted")
    took = time.monotonic() - began
    close, proof = (
        next(joint["unit"]["timestamp"] for joint in net.units() if tells(joint, command))
        for command in ("close", "fraud_proof")
    )
    record("from the close to the fraud proof", f"{proof - close} s of the ledger, {took:.2f} s on the wall")


def wait_until_won(merchant: Server) -> None:
    wait_until(lambda: len(merchant.settled_periods()) == 1, "the period has ended")
    assert merchant.settled_periods()[0].is_fraud_proven


def tells(joint: Any, command: str) -> bool:
    """Whether a unit gives an agent a command."""
    messages = joint["unit"].get("messages", [])
    return any(message["app"] == "data" and message["payload"].get(command) for message in messages)


# --- dust ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_settled", [False, True], ids=["on its way", "stable"])
def test_a_lie_is_contested_among_dust(
    net: Devnet,
    merchant: Server,
    customer: Client,
    is_settled: bool,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    monkeypatch.setattr("paypercall.devnet.history.MAX_ITEMS", LIMIT)
    with contested(net, merchant, customer, record_property):
        scatter_dust(net, customer.aa_address, 2 * LIMIT)
        if is_settled:
            net.settle()
        lie(net, customer)
        scatter_dust(net, customer.aa_address, 2 * LIMIT)
    wait_until_won(merchant)


def test_a_lie_that_was_told_among_thousands_of_dust_units_while_the_line_was_cut_is_contested(
    net: Devnet,
    proxy: HubProxy,
    merchant: Server,
    customer: Client,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    """No hub shows it then, and the history is refused: only what the agent has answered tells of it."""
    monkeypatch.setattr("paypercall.obyte.hub.LAST_RETRY_SECONDS", 1)
    monkeypatch.setattr("paypercall.settlement.node.LONGEST_PAUSE", 1)
    with contested(net, merchant, customer, record_property), cut(proxy):
        lie(net, customer)
        net.settle()
        net.hold()
        scatter_dust(net, customer.aa_address, 2_001)
    assert too_large(proxy)


def test_what_an_agent_answers_is_taken_in_the_middle_of_a_flood_of_dust(
    net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer becomes stable later than the unit that it answers, by when the pages are read from further on."""
    net.fund(PAYEE.address, 1_000)
    net.settle()
    net.hold()
    with (
        merchant_books(tmp_path) as books,
        closing(wallet_on(net)) as customer,
        books.watcher(net) as watcher,
    ):
        channel = books.open(customer)
        for _ in range(2):
            watcher.refresh()
        monkeypatch.setattr("paypercall.devnet.history.MAX_ITEMS", LIMIT)
        deposit = customer.compose(deposit_draft(channel, 50_000, with_definition=True))
        customer.post(deposit)
        watcher.show(deposit)
        waits = 0
        for _ in range(15):
            scatter_dust(net, channel.aa_address, LIMIT + 1)
            net.step()
            has_answered = any(not row["bounced"] for row in net.responses(channel.aa_address))
            watcher.refresh()
            if has_answered and not books.channel(channel).deposited_by_peer:
                waits += 1
                assert not watcher.is_up_to_date(channel.aa_address)
        assert waits
        assert watcher.is_up_to_date(channel.aa_address)
        assert books.channel(channel).deposited_by_peer == 50_000


# --- lines -----------------------------------------------------------------------------------------------------------


@contextmanager
def cut(proxy: HubProxy) -> Iterator[None]:
    """No line to the hub holds."""
    with proxy.fault(lambda frame: [HangUp()]):
        proxy.hang_up()
        yield


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("is_settled", [False, True], ids=["on its way", "stable"])
def test_a_lie_in_the_middle_of_a_reconnect_is_contested(
    net: Devnet,
    proxy: HubProxy,
    merchant: Server,
    customer: Client,
    is_settled: bool,
    record_property: Record,
) -> None:
    with contested(net, merchant, customer, record_property), cut(proxy):
        lie(net, customer)
        if is_settled:
            net.settle()


# --- a hub that leaves something out ---------------------------------------------------------------------------------


def withholding(is_withheld: Callable[[Any], bool]) -> Fault:
    """The hub keeps some joints to itself: in histories, and where it would show them."""

    def fault(frame: Frame) -> Sequence[Arrival] | None:
        if not frame.is_from_hub:
            return None
        body = frame.body.get("body")
        if frame.kind == "justsaying" and isinstance(body, dict):
            unit = body.get("unit") or body.get("objResponseUnit")
            return [] if unit and is_withheld({"unit": unit}) else None
        history = frame.body.get("response")
        if frame.name != HISTORY or not isinstance(history, dict) or "joints" not in history:
            return None
        shown = [joint for joint in history["joints"] if not is_withheld(joint)]
        if len(shown) == len(history["joints"]):
            return None
        units = {joint["unit"]["unit"] for joint in shown}
        rows = [row for row in history.get("aa_responses", []) if row["trigger_unit"] in units]
        rest = {**history, "joints": shown, "aa_responses": rows}
        return [frame.with_body(response=rest if shown else {})]

    return fault


def is_of_a_close(joint: Any) -> bool:
    return tells(joint, "close") or tells(joint, "closing")


@pytest.mark.parametrize("liars", [1, 2], ids=["one", "two of three"])
def test_a_lie_that_hubs_withhold_is_found_at_another_one(
    net: Devnet,
    tmp_path: Path,
    liars: int,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    monkeypatch.setattr("paypercall.settlement.watcher.TURN_SECONDS", 1)
    monkeypatch.setattr("paypercall.settlement.node.REFRESH_SECONDS", 1)
    with ExitStack() as stack:
        lines = [stack.enter_context(HubProxy(net.url)) for _ in range(liars)]
        urls = [line.url for line in lines]
        merchant = stack.enter_context(merchant_through(net, tmp_path, *urls, net.url))
        customer = stack.enter_context(customer_through(net, tmp_path, merchant, net.url))
        for line in lines:
            stack.enter_context(line.fault(withholding(is_of_a_close)))
        with contested(net, merchant, customer, record_property):
            lie(net, customer)
        wait_until_won(merchant)


def test_another_hub_of_no_use_keeps_no_third_one_from_showing_a_lie_that_is_withheld(
    net: Devnet, proxy: HubProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    monkeypatch.setattr("paypercall.settlement.watcher.TURN_SECONDS", 1)
    monkeypatch.setattr("paypercall.settlement.node.REFRESH_SECONDS", 1)
    with (
        HubProxy(net.url) as useless,
        useless.fault(USELESS["refuses to serve"]),
        merchant_through(net, tmp_path, proxy.url, useless.url, net.url) as merchant,
        customer_through(net, tmp_path, merchant, net.url) as customer,
        proxy.fault(withholding(is_of_a_close)),
    ):
        wait_until(lambda: bool(useless.requests(HISTORY)), "the useless hub has been asked")
        with contested(net, merchant, customer, record_property):
            lie(net, customer)
        wait_until_won(merchant)


def test_a_lie_that_a_hub_withholds_is_found_at_another_one_however_long_it_says_the_main_chain_is(
    net: Devnet,
    proxy: HubProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    """From where the first one claims to be there is nothing to be asked for, at no hub."""
    monkeypatch.setattr("paypercall.settlement.watcher.TURN_SECONDS", 1)
    monkeypatch.setattr("paypercall.settlement.node.REFRESH_SECONDS", 1)

    def is_taken_in() -> bool:
        net.fund(merchant.address, 1)
        return any(request.get("min_mci", 0) > AHEAD for request in proxy.requests(HISTORY))

    with ExitStack() as stack:
        stack.enter_context(proxy.fault(_withholding_and_ahead))
        merchant = stack.enter_context(merchant_through(net, tmp_path, proxy.url, net.url))
        customer = stack.enter_context(customer_through(net, tmp_path, merchant, net.url))
        wait_until(is_taken_in, "the merchant believes the hub")
        with contested(net, merchant, customer, record_property):
            lie(net, customer)
        wait_until_won(merchant)


def _withholding_and_ahead(frame: Frame) -> Sequence[Arrival] | None:
    """The hub keeps a close to itself, and claims a longer main chain than there is, wherever it tells an index."""
    params = frame.body.get("params")
    if frame.kind == "request" and isinstance(params, dict) and params.get("min_mci", 0) > AHEAD:
        return [frame.with_body(params={**params, "min_mci": params["min_mci"] - AHEAD})]
    arrivals = withholding(is_of_a_close)(frame)
    if not arrivals:
        return claim_too_long_a_chain(frame) if arrivals is None else arrivals
    [shown] = arrivals
    assert isinstance(shown, str)
    rest = replace(frame, body=json.loads(shown)[1], text=shown)
    return claim_too_long_a_chain(rest) or arrivals


@pytest.mark.usefixtures("impatient")
def test_a_lie_is_contested_after_a_hub_that_claimed_a_longer_main_chain_than_there_is(
    net: Devnet, proxy: HubProxy, tmp_path: Path, record_property: Record
) -> None:
    """From where it claimed to be there is nothing to be asked for, at no hub."""
    with (
        merchant_through(net, tmp_path, proxy.url, net.url) as merchant,
        customer_through(net, tmp_path, merchant, net.url) as customer,
    ):
        with proxy.fault(in_response(HISTORY, far_ahead)):

            def is_taken_in() -> bool:
                net.fund(merchant.address, 1)
                return any(request.get("min_mci", 0) > AHEAD for request in proxy.requests(HISTORY))

            wait_until(is_taken_in, "the merchant believes the hub")
        with contested(net, merchant, customer, record_property), cut(proxy):
            lie(net, customer)
            net.settle()
            wait_until(lambda: "fraud_proof" in commands(net, merchant), "the next hub shows the close")
        wait_until_won(merchant)


@pytest.mark.usefixtures("impatient")
def test_nothing_is_accepted_in_a_channel_while_its_hub_withholds_an_event(
    net: Devnet, proxy: HubProxy, merchant: Server, customer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merchant, "_ledger_timeout", 0.5)
    second = withholding(
        lambda joint: any(
            message["app"] == "data" and message["payload"].get("event_id") == 2
            for message in joint["unit"].get("messages", [])
        )
    )
    channel = parameters_of(net, customer.aa_address)
    deposit = deposit_draft(channel, 50_000, with_definition=False)
    payments = iter(range(60_010, 70_000, 10))

    def code() -> str | None:
        return merchant.verify_payment_package(package_of(customer.wallet.key, channel, next(payments))).code

    with proxy.fault(second), RawClient(net) as line:
        for _ in range(2):
            line.post(customer.wallet.key, deposit)
            net.settle()
        wait_until(lambda: code() == RefusalCode.EVENTS_MISSING.value, "the gap is seen")
        assert code() == RefusalCode.EVENTS_MISSING.value
    wait_until(lambda: code() is None, "the gap is filled")
    assert merchant.channels()[0].deposited_by_peer == 200_000


def package_of(
    key: Key, channel: ChannelParameters, amount_spent: int, *, announce: bool = False
) -> dict[str, Any]:
    """A package that adds 10 bytes."""
    return compose_package(
        key,
        "4.0dev",
        aa_address=channel.aa_address,
        period=1,
        payment_amount=10,
        amount_spent=amount_spent,
        announce=channel if announce else None,
    )


# --- announcements ---------------------------------------------------------------------------------------------------


def announced(number: int, key: Key, payee: str) -> ChannelParameters:
    return ChannelParameters(payee, key.address, BASE, f"salt {number}", 3600)


def test_thousands_of_free_announcements_keep_nobody_out(
    net: Devnet, merchant: Server, customer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list is bounded, no book is opened for what the ledger does not show, and there is room for a newcomer."""
    monkeypatch.setattr(merchant, "_ledger_timeout", 0)
    honest = customer.wallet.key
    strangers = (Key(number.to_bytes(32, "big")) for number in range(1, MAX_ANNOUNCED + 1_001))
    codes = Counter(announce(merchant, stranger) for stranger in strangers)
    assert codes == {RefusalCode.UNKNOWN_CHANNEL.value: MAX_ANNOUNCED + 1_000}
    assert len(announced_in(merchant)) == MAX_ANNOUNCED
    pay(customer, merchant, 1_000)
    new = announced(-1, honest, merchant.address)
    with RawClient(net) as line:
        line.post(honest, deposit_draft(new, 50_000, with_definition=True))
    net.settle()
    first = package_of(honest, new, 10, announce=True)
    assert merchant.verify_payment_package(first).code == RefusalCode.UNKNOWN_CHANNEL.value
    wait_until(lambda: merchant.verify_payment_package(first).code is None, "the newcomer is taken up")
    assert {channel.aa_address for channel in merchant.channels()} == {customer.aa_address, new.aa_address}


def test_a_lie_that_a_hub_withholds_is_contested_among_thousands_of_free_announcements(
    net: Devnet,
    proxy: HubProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    monkeypatch.setattr("paypercall.settlement.watcher.TURN_SECONDS", 1)
    monkeypatch.setattr("paypercall.settlement.node.REFRESH_SECONDS", 1)
    with (
        merchant_through(net, tmp_path, proxy.url, net.url) as merchant,
        customer_through(net, tmp_path, merchant, net.url) as customer,
        proxy.fault(withholding(is_of_a_close)),
    ):
        monkeypatch.setattr(merchant, "_ledger_timeout", 0)
        strangers = [Key(number.to_bytes(32, "big")) for number in range(1, 2 * MAX_ANNOUNCED + 1)]
        for stranger in strangers[:MAX_ANNOUNCED]:
            announce(merchant, stranger)
        with ThreadPoolExecutor(1) as flood, contested(net, merchant, customer, record_property):
            coming = [flood.submit(announce, merchant, stranger) for stranger in strangers[MAX_ANNOUNCED:]]
            lie(net, customer)
        assert {announcement.result() for announcement in coming} == {RefusalCode.UNKNOWN_CHANNEL.value}
        assert len(announced_in(merchant)) == MAX_ANNOUNCED
        wait_until_won(merchant)


def announce(merchant: Server, key: Key) -> str | None:
    channel = announced(0, key, merchant.address)
    return merchant.verify_payment_package(package_of(key, channel, 10, announce=True)).code


def announced_in(merchant: Server) -> list[ChannelParameters]:
    with merchant._store.reading() as books:
        return books.announced.all()


def test_announcements_that_have_expired_are_followed_no_more(net: Devnet, tmp_path: Path) -> None:
    with merchant_books(tmp_path) as books, books.watcher(net, hub := WatchedHub(net)) as watcher:
        known = books.open(CUSTOMER).aa_address
        for flood in range(3):
            with books.store.transaction() as store:
                for number in range(MAX_ANNOUNCED):
                    parameters = announced(number, Key(bytes([9, flood] * 16)), PAYEE.address)
                    store.announced.add(
                        parameters, books.time, limit=MAX_ANNOUNCED, limit_by_customer=MAX_ANNOUNCED
                    )
            watcher.refresh()
            assert len(hub.asked_addresses[-1]) <= MAX_ANNOUNCED + 2
            books.time += ANNOUNCEMENT_SECONDS + TURN_SECONDS + 1
            watcher.refresh()
            books.time += TURN_SECONDS
            hub.asked_addresses.clear()
            watcher.refresh()
            assert {address for asked in hub.asked_addresses for address in asked} == {PAYEE.address, known}
