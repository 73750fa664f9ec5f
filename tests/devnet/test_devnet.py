"""The network as a whole: to start and stop, to fund and hold, and a channel from its opening to its end."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from paypercall.contract import ChannelParameters
from paypercall.devnet import Devnet
from paypercall.devnet.fees import unit_fees
from paypercall.devnet.journal import JournalError
from paypercall.devnet.wallets import TOTAL_BYTES, WALLET_BYTES
from paypercall.obyte.composer import Draft, Output
from paypercall.obyte.keys import Key, key_from_mnemonic
from paypercall.obyte.network import devnet
from paypercall.obyte.proof import verify_history
from tests.devnet.local_node import make_key
from tests.devnet.raw_client import RawClient

CUSTOMER, MERCHANT, STRANGER = make_key(1), make_key(2), make_key(3)


def pay(to: str, amount: int, asset: str = "base", **data: Any) -> Draft:
    messages = ({"app": "data", "payload": data},) if data else ()
    return Draft(outputs={asset: (Output(to, amount),)}, messages=messages)


def opening(channel: ChannelParameters, deposit: int) -> Draft:
    payload = {"address": channel.aa_address, "definition": channel.definition}
    return Draft(
        outputs={"base": (Output(channel.aa_address, deposit),)},
        messages=({"app": "definition", "payload": payload},),
    )


def channel_between(merchant: Key, customer: Key, salt: str = "salt") -> ChannelParameters:
    return ChannelParameters(merchant.address, customer.address, "base", salt, 600)


# --- life ----------------------------------------------------------------------------------------


def test_a_network_tells_its_constants() -> None:
    with Devnet() as net:
        assert net.url.startswith("ws://127.0.0.1:")
        assert net.network.hub == net.url
        assert (net.network.version, net.network.alt) == ("4.0dev", "3")
        assert len(net.network.order_providers) == 1
        assert net.network.majority_of_order_providers == 1
        assert net.units()[0]["unit"]["unit"] == net.network.genesis_unit


def test_every_network_has_its_own_genesis_unit_and_keys() -> None:
    with Devnet() as one, Devnet() as other:
        assert one.network.genesis_unit != other.network.genesis_unit
        assert one.mnemonic != other.mnemonic
        assert one.url != other.url


def test_nobody_but_this_machine_can_connect() -> None:
    with Devnet() as net:
        port = int(net.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)):
            pass
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", port), timeout=1)


def test_a_port_can_be_chosen_once() -> None:
    with Devnet() as net:
        port = int(net.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            Devnet(port=port)


def test_a_closed_network_is_gone() -> None:
    net = Devnet()
    with RawClient(net) as client:
        net.close()
        assert client.is_hung_up()
        net.close()
    with pytest.raises(OSError, match="refused"):
        RawClient(net)


@pytest.mark.parametrize("speed", [0, -1])
def test_a_speed_that_leads_nowhere_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Devnet(speed=speed)


def test_the_wallet_of_the_network_is_funded() -> None:
    with Devnet() as net:
        assert net.balance(key_from_mnemonic(net.mnemonic).address) == WALLET_BYTES


# --- time ----------------------------------------------------------------------------------------


def wait_until(net: Devnet, unit: str, index_is_known: bool = True) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        joint = next(joint for joint in net.units() if joint["unit"]["unit"] == unit)
        if "ball" in joint:
            return True
        time.sleep(0.01)
    return False


def test_units_become_stable_by_themselves() -> None:
    with Devnet(speed=100) as net:
        assert wait_until(net, net.fund(CUSTOMER.address, 1000))


def test_nothing_becomes_stable_while_held() -> None:
    with Devnet(speed=200) as net:
        net.hold()
        unit = net.fund(CUSTOMER.address, 1000)
        before = len(net.units())
        time.sleep(0.05)
        assert len(net.units()) == before
        net.release()
        assert wait_until(net, unit)


def test_a_network_at_rest_does_not_grow() -> None:
    with Devnet(speed=500) as net:
        net.fund(CUSTOMER.address, 1000)
        net.settle()
        before = len(net.units())
        time.sleep(0.05)
        assert len(net.units()) == before
        assert not net.step()


def test_settling_makes_answers_of_agents_provable_too() -> None:
    channel = channel_between(MERCHANT, CUSTOMER)
    with Devnet(speed=0.01) as net, RawClient(net) as client:
        net.fund(CUSTOMER.address, 1_000_000)
        net.settle()
        client.post(CUSTOMER, opening(channel, 100_000))
        net.settle()
        history = verify_history(client.history(addresses=[channel.aa_address]), net.network)
        assert len(history.units) == 2
        assert all(unit.is_stable for unit in history.units)


def test_the_clock_goes_ahead_and_units_follow() -> None:
    with Devnet() as net, RawClient(net) as client:
        before = net.now()
        net.advance(86_400)
        assert net.now() >= before + 86_400
        net.fund(CUSTOMER.address, 100_000)
        net.settle()
        unit = client.post(CUSTOMER, pay(MERCHANT.address, 1000))
        assert unit["timestamp"] >= before + 86_400
        with pytest.raises(ValueError, match="ahead"):
            net.advance(-1)


def test_what_the_command_line_needs_can_be_asked_over_the_wire() -> None:
    with Devnet(speed=0.01) as net, RawClient(net) as client:
        unit = client.request("devnet/faucet", {"address": CUSTOMER.address, "amount": 5000})
        assert net.balance(CUSTOMER.address) == 5000
        assert "response" not in client.ask("devnet/settle")
        history = verify_history(client.history(addresses=[CUSTOMER.address]), net.network)
        assert [(one.hash, one.is_stable) for one in history.units] == [(unit, True)]
        assert client.request("devnet/advance", {"seconds": 1000}) >= net.now() - 5


# --- a channel -----------------------------------------------------------------------------------


def test_a_channel_opens_closes_and_pays_out_and_every_byte_is_accounted_for() -> None:
    channel = channel_between(MERCHANT, CUSTOMER)
    agent = channel.aa_address
    with Devnet(speed=0.01) as net, RawClient(net) as client:
        for key in (CUSTOMER, MERCHANT):
            net.fund(key.address, 1_000_000)
        net.settle()
        units = [client.post(CUSTOMER, opening(channel, 400_000))]
        net.settle()
        close = {"close": 1, "period": 1, "transferredFromMe": 150_000}
        units.append(client.post(CUSTOMER, pay(agent, 10_000, **close)))
        net.settle()
        units.append(client.post(MERCHANT, pay(agent, 10_000, confirm=1, period=1)))
        net.settle()
        answers = net.responses(agent)
        assert [answer["bounced"] for answer in answers] == [False] * 3
        said = [
            next(m["payload"] for m in answer["response_unit"]["messages"] if m["app"] == "data")
            for answer in answers
        ]
        assert [("open" in data, "closing" in data, "closed" in data) for data in said] == [
            (True, False, False),
            (False, True, False),
            (False, False, True),
        ]
        assert said[1][CUSTOMER.address] == 150_000
        own_fees = {
            key.address: sum(unit_fees(u) for u in units if u["authors"][0]["address"] == key.address)
            for key in (CUSTOMER, MERCHANT)
        }
        paid_back = {
            output["address"]: output["amount"]
            for message in answers[2]["response_unit"]["messages"]
            if message["app"] == "payment"
            for output in message["payload"]["outputs"]
        }
        for key, sent in ((CUSTOMER, 410_000), (MERCHANT, 10_000)):
            expected = 1_000_000 - sent - own_fees[key.address] + paid_back[key.address]
            assert net.balance(key.address) == expected
        agents_fees = sum(unit_fees(answer["response_unit"]) for answer in answers)
        assert sum(paid_back.values()) + agents_fees == 420_000
        assert paid_back[MERCHANT.address] == 160_000
        assert net.balance(agent) == paid_back[agent]
        owners = {
            output["address"]
            for joint in net.units()
            for message in joint["unit"]["messages"]
            if message["app"] == "payment"
            for output in message["payload"]["outputs"]
        }
        assert sum(net.balance(owner) for owner in owners) + net.fees_total() == TOTAL_BYTES


def test_a_channel_in_an_asset_opens_and_closes() -> None:
    with Devnet(speed=0.01) as net, RawClient(net) as client:
        asset = net.issue_asset(1_000_000)
        net.fund(CUSTOMER.address, 1_000_000)
        net.fund(CUSTOMER.address, 5000, asset)
        net.settle()
        channel = ChannelParameters(MERCHANT.address, CUSTOMER.address, asset, "salt", 600)
        payload = {"address": channel.aa_address, "definition": channel.definition}
        outputs = {
            "base": (Output(channel.aa_address, 10_000),),
            asset: (Output(channel.aa_address, 3000),),
        }
        client.post(CUSTOMER, Draft(outputs=outputs, messages=({"app": "definition", "payload": payload},)))
        net.settle()
        assert net.balance(channel.aa_address, asset) == 3000
        client.post(CUSTOMER, pay(channel.aa_address, 10_000, close=1, period=1, transferredFromMe=1000))
        net.settle()
        net.advance(600)
        client.post(CUSTOMER, pay(channel.aa_address, 10_000, confirm=1, period=1))
        net.settle()
        assert net.balance(MERCHANT.address, asset) == 1000
        assert net.balance(CUSTOMER.address, asset) == 4000
        assert net.balance(channel.aa_address, asset) == 0


def test_an_unconfirmed_deposit_is_in_the_history_before_the_agent_answers() -> None:
    channel = channel_between(MERCHANT, CUSTOMER)
    with Devnet(speed=0.01) as net, RawClient(net) as client:
        net.fund(CUSTOMER.address, 1_000_000)
        net.settle()
        net.hold()
        unit = client.post(CUSTOMER, opening(channel, 100_000))
        history = verify_history(client.history(addresses=[channel.aa_address]), net.network)
        assert [(one.hash, one.is_stable) for one in history.units] == [(unit["unit"], False)]
        assert net.responses(channel.aa_address) == []


# --- memory --------------------------------------------------------------------------------------


def test_a_network_with_a_folder_survives_a_restart(tmp_path: Path) -> None:
    channel = channel_between(MERCHANT, CUSTOMER)
    with Devnet(speed=0.01, data=tmp_path) as net, RawClient(net) as client:
        net.fund(CUSTOMER.address, 1_000_000)
        net.settle()
        client.post(CUSTOMER, opening(channel, 100_000))
        net.settle()
        net.advance(5000)
        client.post(CUSTOMER, pay(MERCHANT.address, 7000))
        before = (net.mnemonic, net.network.genesis_unit, net.units(), net.responses(channel.aa_address))
        time_before = net.now()
    with Devnet(speed=0.01, data=tmp_path) as net, RawClient(net) as client:
        assert (net.mnemonic, net.network.genesis_unit) == before[:2]
        assert net.units() == before[2]
        assert net.responses(channel.aa_address) == before[3]
        assert net.now() >= time_before
        client.post(CUSTOMER, pay(channel.aa_address, 10_000, close=1, period=1))
        net.settle()
        assert len(net.responses(channel.aa_address)) == 2


def test_contradictions_are_remembered(tmp_path: Path) -> None:
    with Devnet(speed=0.01, data=tmp_path) as net, RawClient(net) as client:
        net.fund(CUSTOMER.address, 100_000)
        net.settle()
        first, second = (client.compose(CUSTOMER, pay(to.address, 5000)) for to in (MERCHANT, STRANGER))
        client.request("post_joint", {"unit": first})
        client.say("joint", {"unit": second})
        client.wait_for("result")
    with Devnet(speed=0.01, data=tmp_path) as net:
        assert net.sequence(first["unit"]) == net.sequence(second["unit"]) == "temp-bad"
        net.settle()
        assert {net.sequence(first["unit"]), net.sequence(second["unit"])} == {"good", "final-bad"}
        units = net.units()
    with Devnet(speed=0.01, data=tmp_path) as net:
        assert net.units() == units


def test_a_line_that_a_crash_cut_off_is_forgotten(tmp_path: Path) -> None:
    with Devnet(speed=0.01, data=tmp_path) as net:
        net.fund(CUSTOMER.address, 1000)
        net.settle()
        units = net.units()
    (journal,) = tmp_path.iterdir()
    complete = journal.read_text()
    journal.write_text(complete + json.dumps({"unit": {"unit": "x"}})[:20])
    with Devnet(speed=0.01, data=tmp_path) as net:
        assert net.units() == units
        net.fund(CUSTOMER.address, 500)
    with Devnet(speed=0.01, data=tmp_path) as net:
        assert net.balance(CUSTOMER.address) == 1500


def test_the_folder_keeps_the_keys_from_others(tmp_path: Path) -> None:
    with Devnet(data=tmp_path / "new" / "folder"):
        (journal,) = (tmp_path / "new" / "folder").iterdir()
        assert journal.stat().st_mode & 0o077 == 0


def test_a_folder_is_for_one_network_at_a_time(tmp_path: Path) -> None:
    with Devnet(data=tmp_path) as net:
        with pytest.raises(JournalError, match="another process"):
            Devnet(data=tmp_path)
        units = net.units()
    with Devnet(data=tmp_path) as net:
        assert net.units()[: len(units)] == units


@pytest.mark.parametrize("text", ["no json\n", "5\n", "{}\n", '{"purses": {}, "genesis": {}}\n'])
def test_a_damaged_journal_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "network.jsonl").write_text(text)
    with pytest.raises(JournalError, match="damaged"):
        Devnet(data=tmp_path)


def test_a_journal_with_a_gap_is_refused(tmp_path: Path) -> None:
    with Devnet(data=tmp_path):
        pass
    (journal,) = tmp_path.iterdir()
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:1] + lines[2:]))
    with pytest.raises(JournalError, match="damaged"):
        Devnet(data=tmp_path)


def test_a_taken_port_leaves_the_folder_free(tmp_path: Path) -> None:
    with Devnet() as net, pytest.raises(OSError, match="in use"):
        Devnet(port=int(net.url.rpartition(":")[2]), data=tmp_path)
    with Devnet(data=tmp_path):
        pass


# --- crowds --------------------------------------------------------------------------------------


def test_many_wallets_can_pay_at_once() -> None:
    keys = [make_key(100 + number) for number in range(12)]
    with Devnet(speed=50) as net:
        for key in keys:
            net.fund(key.address, 100_000)
        net.settle()

        def pay_three_times(key: Key) -> None:
            with RawClient(net) as client:
                for _ in range(3):
                    client.post(key, pay(MERCHANT.address, 1000))

        with ThreadPoolExecutor(len(keys)) as executor:
            list(executor.map(pay_three_times, keys))
        net.settle()
        assert net.balance(MERCHANT.address) == 36_000
        assert all("ball" in joint for joint in net.units()[:-4])
        with RawClient(net) as client:
            history = verify_history(client.history(addresses=[MERCHANT.address]), net.network)
        assert len(history.units) == 36
        assert all(unit.is_stable and not unit.is_final_bad for unit in history.units)


def test_the_constants_alone_are_enough_to_believe_a_history() -> None:
    with Devnet() as net, RawClient(net) as client:
        net.fund(CUSTOMER.address, 1000)
        net.settle()
        constants = devnet(net.network.genesis_unit, net.network.order_providers)
        assert verify_history(client.history(addresses=[CUSTOMER.address]), constants).units[0].is_stable
