"""A node with several hubs: whatever the others do, one that works lets the period be settled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paypercall.client import Client
from paypercall.contract import close_draft
from paypercall.devnet import Devnet
from paypercall.obyte.hub import Hub
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.obyte.wallet import Wallet
from paypercall.server import Server
from tests.hub_proxy import Back, HangUp, HubProxy, in_response, instead_of_requests
from tests.parties import conf_for, parameters_of, pay, wait_until, wait_until_open
from tests.settlement.faults import HISTORY, POST, USELESS, settle_a_period


@pytest.fixture
def first(net: Devnet) -> Iterator[HubProxy]:
    with HubProxy(net.url) as first:
        yield first


@pytest.fixture
def second(net: Devnet) -> Iterator[HubProxy]:
    with HubProxy(net.url) as second:
        yield second


def wallet_on_all(net: Devnet, *lines: HubProxy) -> Wallet:
    key = key_from_mnemonic(new_mnemonic())
    net.fund(key.address, 1_000_000)
    net.settle()
    hub, *others = (Hub(line.url, net.network) for line in lines)
    return Wallet(key, LightClient(hub, net.network, others=others), max_tps_fee=20_000)


@pytest.fixture
def merchant(net: Devnet, first: HubProxy, second: HubProxy, tmp_path: Path) -> Iterator[Server]:
    wallet = wallet_on_all(net, first, second)
    with Server(wallet=wallet, conf=conf_for(net, tmp_path / "merchant")) as merchant:
        yield merchant
    wallet.close()


@pytest.fixture
def customer(
    net: Devnet, first: HubProxy, second: HubProxy, merchant: Server, tmp_path: Path
) -> Iterator[Client]:
    wallet = wallet_on_all(net, first, second)
    with Client(merchant.address, wallet=wallet, conf=conf_for(net, tmp_path / "customer")) as customer:
        yield customer
    wallet.close()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", USELESS)
def test_when_one_hub_is_of_no_use_the_other_one_is_asked(
    net: Devnet, first: HubProxy, second: HubProxy, merchant: Server, customer: Client, how: str
) -> None:
    with first.fault(USELESS[how]):
        settle_a_period(net, merchant, customer)
    assert second.requests(POST)


@pytest.mark.usefixtures("impatient")
def test_when_the_second_hub_is_of_no_use_the_first_one_is_asked_again(
    net: Devnet, first: HubProxy, second: HubProxy, merchant: Server, customer: Client
) -> None:
    pay(customer, merchant)
    wait_until_open(customer, merchant)
    with first.fault(lambda frame: [HangUp()]):
        first.hang_up()
        wait_until(lambda: bool(second.requests(HISTORY)), "the second hub is asked")
    with second.fault(lambda frame: [HangUp()]):
        second.hang_up()
        settle_a_period(net, merchant, customer)


@pytest.mark.usefixtures("impatient")
def test_a_hub_that_keeps_a_fraud_proof_to_itself_does_not_keep_it_from_the_ledger(
    net: Devnet,
    first: HubProxy,
    second: HubProxy,
    merchant: Server,
    customer: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("paypercall.settlement.outbox.REPOST_SECONDS", 1)
    pay(customer, merchant, 60_000)
    wait_until_open(customer, merchant)
    lie = close_draft(
        parameters_of(net, customer.aa_address), period=1, transferred_from_me=0, sent_by_peer=None
    )
    customer.wallet.post(customer.wallet.compose(lie))
    swallowing = instead_of_requests(POST, lambda frame: [Back(frame.answer("accepted"))])
    with first.fault(swallowing):
        wait_until(lambda: len(merchant.settled_periods()) == 1, "the fraud is proved")
    assert merchant.settled_periods()[0].is_fraud_proven


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["is silent", "proves nothing"])
def test_payments_go_on_when_two_of_three_hubs_are_of_no_use_from_the_start(
    net: Devnet, first: HubProxy, second: HubProxy, tmp_path: Path, how: str
) -> None:
    with HubProxy(net.url) as gone:
        wallets = [wallet_on_all(net, gone, first, second) for _ in range(2)]
    with (
        first.fault(USELESS[how]),
        Server(wallet=wallets[0], conf=conf_for(net, tmp_path / "merchant")) as merchant,
        Client(merchant.address, wallet=wallets[1], conf=conf_for(net, tmp_path / "customer")) as customer,
    ):
        settle_a_period(net, merchant, customer)
    for wallet in wallets:
        wallet.close()


def test_a_hub_that_names_other_order_providers_changes_nothing_but_is_reported(
    net: Devnet, first: HubProxy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = key_from_mnemonic(new_mnemonic()).address
    with first.fault(in_response("get_witnesses", lambda answer: [stranger])):
        key = key_from_mnemonic(new_mnemonic())
        wallet = Wallet(key, LightClient(Hub(first.url, net.network), net.network), max_tps_fee=20_000)
        with Server(wallet=wallet, conf=conf_for(net, tmp_path / "merchant")) as merchant:
            wait_until(lambda: merchant._node_health().synced_at is not None, "the ledger is seen")
        wallet.close()
    assert f"{stranger} instead of {net.network.order_providers[0]}" in caplog.text
    assert first.requests(HISTORY)[0]["witnesses"] == list(net.network.order_providers)


@pytest.mark.usefixtures("impatient")
def test_a_deposit_that_only_one_of_two_hubs_shows_is_not_taken_for_double_spent(
    net: Devnet, first: HubProxy, second: HubProxy, merchant: Server, customer: Client
) -> None:
    net.hold()
    pay(customer, merchant)
    [deposit] = [
        unit["unit"] for unit in (request["unit"] for request in first.requests(POST)) if "messages" in unit
    ]

    def without_deposit(history: dict[str, Any]) -> dict[str, Any]:
        left = [joint for joint in history.get("joints", ()) if joint["unit"]["unit"] != deposit]
        return {**history, "joints": left} if left else {}

    def has_been_asked_for() -> bool:
        asked = [params.get("requested_joints", ()) for params in second.requests(HISTORY)]
        return sum(deposit in units for units in asked) >= 2

    with first.fault(in_response(HISTORY, without_deposit)):
        wait_until(has_been_asked_for, "the second hub is asked what the first one does not show")
        pay(customer, merchant, 1_000)
    net.release()
