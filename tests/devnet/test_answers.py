"""What the hub answers to requests: field for field what a real one answers."""

from __future__ import annotations

from typing import Any

import pytest

from paypercall.devnet import Devnet
from paypercall.obyte.proof import verify_history
from tests.devnet.local_channel import (
    PAYEE,
    PAYER,
    UNKNOWN_UNIT,
    channel,
    opening,
    pay,
    requests_of,
)
from tests.devnet.local_node import make_key
from tests.devnet.raw_client import RawClient
from tests.devnet.shapes import (
    paths,
    recorded_messages,
    recorded_minimum,
    recorded_responses,
)


def test_answers_have_the_shape_that_a_real_hub_gives_them(busy: RawClient, net: Devnet) -> None:
    recorded = recorded_responses()
    requests = requests_of(net)
    assert requests.keys() | {"post_joint", "hub/temp_pubkey"} == recorded.keys()
    for command, params in requests.items():
        answer = busy.ask(command, params)
        foreign = paths(answer) - recorded[command]
        assert foreign <= tolerated(command), command
        assert recorded_minimum()[command] - paths(answer) == set(), command
        assert ".response.error: string" not in paths(answer), command


def tolerated(command: str) -> set[str]:
    """Paths that the recorded sessions happen not to have, though a real hub gives them in the same place."""
    if command == "light/get_history":
        joint = ".response.joints[].unit"
        return {
            f"{joint}.messages[].payload.hello: number",
            f"{joint}.messages[].payload.closing: number",
            f"{joint}.messages[].payload.initiated_by: string",
        }
    if command == "light/get_aa_responses":
        row = ".response[]"
        return {
            f"{row}.response.error: object",
            f"{row}.response.error.message: string",
            f"{row}.response_unit: null",
        }
    if command == "light/get_aa_state_vars":
        return paths_of_state()
    return set()


def paths_of_state() -> set[str]:
    """The state of a closing channel: the recorded one was closed."""
    names = ("balanceA", "balanceB", "close_initiated_by", "close_start_ts", "spentByA", "spentByB")
    return {f".response.{name}: {kind}" for name in names for kind in ("number", "string")}


def test_every_recorded_history_request_gets_an_answer_of_a_known_shape(busy: RawClient, net: Devnet) -> None:
    substitutes = [PAYER.address, channel().aa_address, PAYEE.address]
    witness = net.network.order_providers[0]
    joints = [joint["unit"] for joint in net.units() if joint["unit"]["authors"][0]["address"] != witness]
    units = [unit["unit"] for unit in joints]
    recorded = recorded_responses()["light/get_history"] | tolerated("light/get_history")
    for direction, (kind, content) in recorded_messages():
        if direction == "client->hub" and kind == "request" and content["command"] == "light/get_history":
            params = dict(content["params"])
            params["witnesses"] = list(net.network.order_providers)
            if "addresses" in params:
                params["addresses"] = substitutes[: len(params["addresses"])]
            for name in ("requested_joints", "known_stable_units"):
                if name in params:
                    params[name] = units[: len(params[name])]
            answer = busy.ask("light/get_history", params)
            assert paths(answer) <= recorded
            assert "error" not in answer["response"]
            verify_history(answer["response"], net.network)


def test_a_posted_unit_is_accepted_once_and_then_known(busy: RawClient) -> None:
    unit = busy.post(PAYER, pay(PAYEE.address))
    assert busy.request("post_joint", {"unit": unit}) == {"error": "known"}


@pytest.mark.parametrize("params", [None, {}, {"unit": None}, {"unit": {}}, [1], "unit"])
def test_posting_nothing_is_refused(client: RawClient, params: Any) -> None:
    assert client.request("post_joint", params) == {"error": "no unit"}


def test_posting_a_unit_that_has_nothing_but_a_hash_is_refused_as_recorded(client: RawClient) -> None:
    assert client.request("post_joint", {"unit": {"unit": UNKNOWN_UNIT}}) == {"error": "invalid version"}


def test_an_unknown_unit_is_not_found(client: RawClient) -> None:
    assert client.request("get_joint", UNKNOWN_UNIT) == {"joint_not_found": UNKNOWN_UNIT}


def test_a_young_stable_unit_is_handed_out_without_its_ball(client: RawClient, net: Devnet) -> None:
    unit = net.fund(PAYER.address, 1000)
    net.step()
    net.step()
    assert "ball" not in client.request("get_joint", unit)["joint"]
    net.settle()
    assert "ball" in client.request("get_joint", unit)["joint"]


def test_the_definition_of_an_unknown_address_is_null(client: RawClient) -> None:
    answer = client.ask("light/get_definition", PAYER.address)
    assert answer["response"] is None
    assert "response" in answer


def test_an_agent_that_is_not_stable_yet_has_a_definition_and_no_state(
    client: RawClient, net: Devnet
) -> None:
    net.fund(PAYER.address, 1_000_000)
    net.settle()
    client.post(PAYER, opening())
    agent = channel().aa_address
    assert client.request("light/get_definition", agent) == channel().definition
    assert client.request("light/get_aa_state_vars", {"address": agent}) == {}
    assert client.request("light/get_aas_by_base_aas", {"base_aa": channel().definition[1]["base_aa"]}) == []


def test_agents_can_be_searched_by_their_parameters(busy: RawClient) -> None:
    base = channel().definition[1]["base_aa"]

    def search(params: Any) -> list[str]:
        rows = busy.request("light/get_aas_by_base_aas", {"base_aa": base, "params": params})
        return [row["address"] for row in rows]

    assert search({"addressA": PAYEE.address}) == [channel().aa_address]
    assert search({"addressB": PAYEE.address}) == []
    assert search({"timeout": ["=", 600]}) == [channel().aa_address]
    query = {"base_aa": base, "params": {"timeout": [">", 5]}}
    assert "invalid comparison" in busy.request("light/get_aas_by_base_aas", query)["error"]


def test_state_variables_can_be_asked_for_by_prefix(busy: RawClient) -> None:
    agent = channel().aa_address
    everything = busy.request("light/get_aa_state_vars", {"address": agent})
    closing = busy.request("light/get_aa_state_vars", {"address": agent, "var_prefix": "close"})
    assert closing.keys() == {name for name in everything if name.startswith("close")}
    first = busy.request("light/get_aa_state_vars", {"address": agent, "limit": 1})
    assert len(first) == 1


def test_responses_of_agents_can_be_paged(busy: RawClient) -> None:
    agent = channel().aa_address
    rows = busy.request("light/get_aa_responses", {"aa": agent})
    indexes = [row["mci"] for row in rows]
    assert len(indexes) == 3
    assert indexes == sorted(indexes, reverse=True)
    upwards = busy.request("light/get_aa_responses", {"aas": [agent], "order": "ASC", "min_mci": indexes[1]})
    assert upwards == [rows[1], rows[0]]
    downwards = busy.request("light/get_aa_responses", {"aa": agent, "max_mci": indexes[1]})
    assert downwards == rows[1:]
    assert [row["bounced"] for row in rows] == [0, 1, 0]


def test_coins_are_picked_by_amount_and_confirmation(client: RawClient, net: Devnet) -> None:
    net.fund(PAYER.address, 5000)
    net.fund(PAYER.address, 9000)
    net.settle()
    net.fund(PAYER.address, 700_000)

    def pick(amount: int, **more: Any) -> tuple[int, int]:
        params = {"addresses": [PAYER.address], "last_ball_mci": 1000, "amount": amount, **more}
        answer = client.request("light/pick_divisible_coins_for_amount", params)
        return len(answer["inputs_with_proofs"]), answer["total_amount"]

    assert pick(1000) == (1, 5000)
    assert pick(4000) == (1, 9000)
    assert pick(11_000) == (2, 14_000)
    assert pick(100_000) == (0, 0)
    assert pick(100_000, spend_unconfirmed="all") == (1, 700_000)


ERRORS: list[tuple[str, Any, str]] = [
    ("get_joint", 5, "unit must be a string"),
    ("hub/temp_pubkey", {}, "please log in first"),
    ("light/get_balances", None, "no params in light/get_balances"),
    ("light/get_balances", {"a": 1}, "addresses must be non-empty array"),
    ("light/get_balances", ["X"], "some addresses are not valid"),
    ("light/get_balances", [PAYER.address] * 101, "too many addresses"),
    ("light/get_aas_by_base_aas", {"base_aas": [PAYER.address] * 21}, "too many base_aas"),
    ("light/get_aas_by_base_aas", {"base_aas": "X"}, "no base_aas"),
    ("light/get_aa_state_vars", {"address": PAYER.address, "var_prefix_from": 1}, "var_prefix_from must be"),
    ("light/get_aa_state_vars", {"address": PAYER.address, "var_prefix_to": 1}, "var_prefix_to must be"),
    (
        "light/get_aa_state_vars",
        {"address": PAYER.address, "var_prefix": "a", "var_prefix_to": "b"},
        "var_prefix cannot be used with",
    ),
    ("light/get_aa_state_vars", {"address": PAYER.address, "limit": 2001}, "limit cannot be greater than"),
    ("devnet/faucet", {"address": PAYER.address, "amount": 1, "asset": ["X"]}, "asset must be base"),
    ("light/get_definition", None, "no params in light/get_definition"),
    ("light/get_definition", "X", "address not valid"),
    ("light/get_definition_for_address", {"address": 5}, "address not valid"),
    ("light/get_aa_state_vars", None, "no params in light/get_aa_state_vars"),
    ("light/get_aa_state_vars", {"address": PAYER.address}, "not an AA"),
    ("light/get_aa_state_vars", {"address": PAYER.address, "limit": 0}, "limit must be a positive integer"),
    ("light/get_aa_state_vars", {"address": PAYER.address, "var_prefix": 1}, "var_prefix must be string"),
    ("light/get_aa_balances", {"address": "X"}, "address not valid"),
    ("light/get_aa_responses", {"aa": "X"}, "aa address not valid"),
    ("light/get_aa_responses", {"aa": PAYER.address, "max_mci": 0}, "max_mci must be positive integer"),
    ("light/get_aa_responses", {"aa": PAYER.address, "order": "UP"}, "bad order"),
    ("light/get_aas_by_base_aas", {"base_aa": "X"}, "base_aa address not valid"),
    ("light/pick_divisible_coins_for_amount", {"addresses": []}, "missing params"),
    (
        "light/pick_divisible_coins_for_amount",
        {"addresses": [PAYER.address], "last_ball_mci": 5, "amount": -5},
        "amount is not valid",
    ),
    (
        "light/pick_divisible_coins_for_amount",
        {"addresses": [PAYER.address], "last_ball_mci": 5, "amount": 5, "asset": UNKNOWN_UNIT},
        f"asset {UNKNOWN_UNIT} not found",
    ),
    (
        "light/get_parents_and_last_ball_and_witness_list_unit",
        None,
        "no params in get_parents_and_last_ball_and_witness_list_unit",
    ),
    ("devnet/advance", {"seconds": -1}, "integer from 0 up"),
    ("devnet/advance", {}, "integer from 0 up"),
    ("devnet/faucet", {"address": "X", "amount": 5}, "takes address"),
    ("devnet/faucet", {"address": PAYER.address, "amount": 0}, "positive integer"),
    ("devnet/faucet", {"address": PAYER.address, "amount": 10**15}, "coins give"),
    ("devnet/faucet", {"address": PAYER.address, "amount": 1, "asset": "X"}, "no asset"),
    ("subscribe", {"subscription_id": "x"}, "nothing to subscribe to"),
]


@pytest.mark.parametrize(("command", "params", "error"), ERRORS)
def test_a_bad_request_gets_an_error(client: RawClient, command: str, params: Any, error: str) -> None:
    assert error in client.request(command, params)["error"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"witnesses": []}, "wrong number of witnesses"),
        ({"witnesses": ["X"]}, "bad witness addresses"),
        ({"from_addresses": []}, "bad from addresses"),
        ({"from_addresses": ["X"]}, "bad from addresses"),
        ({"output_addresses": ["X"]}, "bad output addresses"),
        ({"output_addresses": None}, "no output addresses"),
        ({"max_aa_responses": 11}, "bad max_aa_responses"),
        ({"max_aa_responses": "1"}, "bad max_aa_responses"),
    ],
)
def test_a_bad_request_for_parents_gets_an_error(
    client: RawClient, net: Devnet, change: dict[str, Any], error: str
) -> None:
    params = {
        "witnesses": list(net.network.order_providers),
        "from_addresses": [PAYER.address],
        "output_addresses": [PAYER.address],
        "max_aa_responses": 10,
        **change,
    }
    command = "light/get_parents_and_last_ball_and_witness_list_unit"
    assert client.request(command, params) == {"error": error}


def test_the_fee_of_a_trigger_depends_on_the_answers_that_it_allows(busy: RawClient, net: Devnet) -> None:
    def quote(payee: str, responses: int) -> tuple[int, int]:
        answer = busy.request(
            "light/get_parents_and_last_ball_and_witness_list_unit",
            {
                "witnesses": list(net.network.order_providers),
                "from_addresses": [make_key(77).address],
                "output_addresses": [payee],
                "max_aa_responses": responses,
            },
        )
        return answer["tps_fee"], answer["count_primary_aa_triggers"]

    assert quote(PAYEE.address, 10) == (5, 0)
    assert quote(channel().aa_address, 10) == (803, 1)
    assert quote(channel().aa_address, 1) == (22, 1)
