"""A hub that says what nobody thought of cannot stop a node: it is left for the next one, and the lie is contested.

What one hub says never has another one left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from paypercall.contract import ChannelParameters, deposit_draft
from paypercall.devnet import Devnet
from paypercall.events import Events
from paypercall.obyte.amounts import BASE
from paypercall.obyte.hub import REQUEST_SECONDS, Hub
from paypercall.obyte.keys import Key, key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.obyte.proof import History, HistoryUnit
from paypercall.obyte.unit import headers_size, payload_hash, sign_unit, total_payload_size
from paypercall.obyte.wallet import Wallet
from paypercall.server import Server
from paypercall.settlement import node
from paypercall.settlement.discovery import Discovery
from paypercall.settlement.lease import Lease
from tests.hub_proxy import HubProxy, in_response
from tests.parties import conf_for, wait_until
from tests.settlement.faults import HISTORY, inventing
from tests.settlement.merchant_books import merchant_books
from tests.settlement.test_never_blind import (
    announced,
    announced_in,
    contested,
    customer_through,
    lie,
    merchant_through,
    package_of,
    proxy,
    wait_until_won,
)
from tests.two_sides import CUSTOMER, PAYEE

__all__ = ["proxy"]

Record = Callable[[str, object], None]
SOMEWHERE = "A" * 43 + "="


class OddHub(Hub):
    """A connection whose histories, from some moment on, fail in a way that nobody foresaw."""

    is_odd = False

    def request(self, command: str, params: Any = None, timeout: float = REQUEST_SECONDS) -> Any:
        if self.is_odd and command == HISTORY:
            raise LookupError("nobody thought of this")
        return super().request(command, params, timeout)


class OddSecondOpinion(LightClient):
    """A light client whose second opinions hold what nobody foresaw."""

    def history(self, addresses: Iterable[str], **options: Any) -> History:
        if self._has_time:  # which a second opinion has not
            return super().history(addresses, **options)
        return History((None,), (), None)  # type: ignore[arg-type]


@contextmanager
def merchant_with(net: Devnet, folder: Path, light: LightClient) -> Iterator[Server]:
    key = key_from_mnemonic(new_mnemonic())
    net.fund(key.address, 1_000_000)
    net.settle()
    with (
        closing(Wallet(key, light, max_tps_fee=20_000)) as wallet,
        Server(wallet=wallet, conf=conf_for(net, folder / "merchant")) as merchant,
    ):
        yield merchant


def failures_of_node(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == node.__name__ and record.exc_info]


def forged_deposit(net: Devnet, key: Key, agent: str, definition: Any) -> dict[str, Any]:
    """A joint that nobody has posted: it pays to an agent, and defines something of any shape."""
    pays = {
        "inputs": [{"unit": SOMEWHERE, "message_index": 0, "output_index": 0}],
        "outputs": [{"address": agent, "amount": 20_000}],
    }
    unit: dict[str, Any] = {
        "version": net.network.version,
        "alt": net.network.alt,
        "timestamp": net.now(),
        "parent_units": [SOMEWHERE],
        "last_ball": SOMEWHERE,
        "last_ball_unit": SOMEWHERE,
        "authors": [{"address": key.address, "definition": key.definition}],
        "messages": [
            {
                "app": app,
                "payload_location": "inline",
                "payload": payload,
                "payload_hash": payload_hash(payload),
            }
            for app, payload in (("definition", definition), ("payment", pays))
        ],
    }
    unit = sign_unit(unit, key)
    sizes = {"headers_commission": headers_size(unit), "payload_commission": total_payload_size(unit)}
    return {"unit": {**unit, **sizes, "main_chain_index": None}}


@pytest.mark.usefixtures("impatient")
def test_a_definition_of_an_odd_shape_does_not_stop_the_node(
    net: Devnet,
    proxy: HubProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    record_property: Record,
) -> None:
    with (
        merchant_through(net, tmp_path, proxy.url) as merchant,
        customer_through(net, tmp_path, merchant, net.url) as customer,
    ):
        monkeypatch.setattr(merchant, "_ledger_timeout", 0)
        key = Key(b"\x09" * 32)
        new = announced(-1, key, merchant.address)
        with proxy.fault(inventing(forged_deposit(net, key, new.aa_address, [1]))):
            merchant.verify_payment_package(package_of(key, new, 10, announce=True))
            net.fund(merchant.address, 1_000)  # what is invented stands beside what is true
            wait_until(lambda: not announced_in(merchant), "the forged deposit is seen")
            with contested(net, merchant, customer, record_property):
                lie(net, customer)
            wait_until_won(merchant)
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.usefixtures("impatient")
def test_a_hub_whose_indices_no_database_can_hold_is_left(
    net: Devnet, proxy: HubProxy, tmp_path: Path, record_property: Record
) -> None:
    with (
        merchant_through(net, tmp_path, proxy.url, net.url) as merchant,
        customer_through(net, tmp_path, merchant, net.url) as customer,
        proxy.fault(in_response(HISTORY, beyond_all_numbers)),
    ):
        wait_until(lambda: merchant.wallet.light.session.hub == net.url, "the next hub is asked")
        with contested(net, merchant, customer, record_property):
            lie(net, customer)
        wait_until_won(merchant)


def beyond_all_numbers(history: Any) -> Any:
    history = deepcopy(history)
    for joint in (*history.get("joints", []), *history.get("unstable_mc_joints", [])):
        if joint["unit"].get("main_chain_index") is not None:
            joint["unit"]["main_chain_index"] = 10**20
    return history


@pytest.mark.usefixtures("impatient")
def test_a_hub_is_left_whose_word_fails_in_a_way_that_nobody_foresaw(
    net: Devnet, proxy: HubProxy, tmp_path: Path, record_property: Record, caplog: pytest.LogCaptureFixture
) -> None:
    odd = OddHub(proxy.url, net.network)
    light = LightClient(odd, net.network, others=[Hub(net.url, net.network)])
    odd.start()
    wait_until(lambda: odd.is_connected, "the first hub is connected")
    with (
        merchant_with(net, tmp_path, light) as merchant,
        customer_through(net, tmp_path, merchant, net.url) as customer,
    ):
        odd.is_odd = True
        with contested(net, merchant, customer, record_property):
            lie(net, customer)
        wait_until_won(merchant)
        assert light.session.hub == net.url
    assert len(failures_of_node(caplog)) == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fails", ["when it is asked", "when it is taken"])
def test_a_second_hub_whose_word_fails_in_a_way_that_nobody_foresaw_has_the_first_one_not_left(
    net: Devnet,
    proxy: HubProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
    caplog: pytest.LogCaptureFixture,
    fails: str,
) -> None:
    monkeypatch.setattr("paypercall.settlement.watcher.TURN_SECONDS", 1)
    second = OddHub(proxy.url, net.network)
    second.is_odd = True
    make = LightClient if fails == "when it is asked" else OddSecondOpinion
    light = make(Hub(net.url, net.network), net.network, others=[second])
    with (
        merchant_with(net, tmp_path, light) as merchant,
        customer_through(net, tmp_path, merchant, net.url) as customer,
    ):
        wait_until(lambda: "in vain" in caplog.text, "the second hub is asked")
        with contested(net, merchant, customer, record_property):
            lie(net, customer)
        wait_until_won(merchant)
        assert light.session.hub == net.url
    assert not failures_of_node(caplog)


def test_an_announced_channel_that_cannot_be_taken_up_keeps_no_other_from_it(tmp_path: Path) -> None:
    channels = [ChannelParameters(PAYEE.address, CUSTOMER.address, BASE, salt, 3600) for salt in "ab"]
    with merchant_books(tmp_path) as books:
        with books.store.transaction() as store:
            for channel in channels:
                store.announced.add(channel, books.time, limit=2, limit_by_customer=2)
        discovery = Discovery(books.store, PAYEE.address, Events(), books.now)
        without_time, sound = (_deposit(channel) for channel in channels)
        del without_time.unit["timestamp"]
        lease = Lease(books.store, PAYEE.address, books.now)
        assert lease.take()
        history = History((without_time, sound), (), None)
        discovery.look_at(history, {channel.aa_address for channel in channels}, lease)
        assert books.channel(channels[1]).period == 1
        assert discovery.announced_addresses() == [channels[0].aa_address]


def _deposit(channel: ChannelParameters) -> HistoryUnit:
    draft = deposit_draft(channel, 50_000, with_definition=False)
    outputs = draft.outputs[BASE]
    pays = {"outputs": [{"address": out.address, "amount": out.amount} for out in outputs]}
    unit = {
        "unit": payload_hash(pays),
        "timestamp": 1,
        "authors": [{"address": channel.address_b}],
        "messages": [{"app": "payment", "payload": pays}],
    }
    return HistoryUnit(
        unit,
        payload_hash(pays),
        is_stable=True,
        is_final_bad=False,
        main_chain_index=None,
        is_signature_checked=True,
        is_stripped=False,
    )
