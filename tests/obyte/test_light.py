"""What a light node asks and believes: exact requests, recorded answers, and answers not to be believed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import pytest

from paypercall.devnet import Devnet
from paypercall.obyte import histories as histories_module
from paypercall.obyte.composer import Output, Parents
from paypercall.obyte.errors import HubError, HubRefused, HubTimeout, ProofError
from paypercall.obyte.hub import Hub
from paypercall.obyte.keys import Key, key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.network import Network, devnet
from paypercall.obyte.wallet import Wallet
from tests.obyte.small_ledger import FIRST_TIMESTAMP, SmallLedger

TESTS = Path(__file__).parents[1]
NETWORK = devnet("RTUynATsgV1FZCSMfIfqUMH2wjfrh0O9k891Ec+d65k=", ("XZ33YNFB76VTXXUGNTNHU3QSD43FSURX",))
TOO_LARGE = "your history is too large, consider switching to a full client"


@lru_cache(maxsize=1)
def recorded_cases() -> tuple[Network, dict[str, dict[str, Any]]]:
    network = json.loads((TESTS / "traces" / "history.json").read_text(encoding="utf-8"))["networks"][0]
    constants = network["network"]
    cases = {case["name"]: case for case in network["cases"]}
    return devnet(constants["genesis_unit"], tuple(constants["witnesses"])), cases


@lru_cache(maxsize=1)
def recorded_units() -> list[dict[str, Any]]:
    units: list[dict[str, Any]] = json.loads((TESTS / "traces" / "units.json").read_text("utf-8"))["units"]
    return units


class ScriptedHub:
    """Stands where the connection is: notes each request and answers as told."""

    connections = 1

    def __init__(self, *answers: Any) -> None:
        self.network = NETWORK
        self.first_joint: Any = ...
        self.asked: list[tuple[str, Any]] = []
        self.answers = list(answers)
        self.callbacks: list[tuple[str, Callable[..., None]]] = []
        self.is_started = False
        self.is_closed = False

    def request(self, command: str, params: Any = None, timeout: float = 0) -> Any:
        if (command, params) == ("get_joint", self.network.genesis_unit):
            return {"joint": {"unit": {"unit": params}} if self.first_joint is ... else self.first_joint}
        self.asked.append((command, params))
        return self.answer_to(command, params)

    def answer_to(self, command: str, params: Any) -> Any:
        answer = self.answers.pop(0)
        if callable(answer):
            answer = answer(command, params)
        if isinstance(answer, Exception):
            raise answer
        return copy.deepcopy(answer)

    def subscribe(self, subject: str, callback: Callable[..., None]) -> Callable[[], None]:
        self.callbacks.append((subject, callback))
        return lambda: self.callbacks.remove((subject, callback))

    def on_connect(self, callback: Callable[..., None]) -> Callable[[], None]:
        return self.subscribe("connect", callback)

    def start(self) -> None:
        self.is_started = True

    def close(self) -> None:
        self.is_closed = True


def client(hub: ScriptedHub, network: Network = NETWORK) -> LightClient:
    hub.network = network
    return LightClient(cast("Hub", hub), network)


@pytest.fixture(scope="module")
def net() -> Iterator[Devnet]:
    with Devnet(speed=20) as network:
        yield network


# --- histories ---


def test_a_history_is_asked_for_as_the_real_client_does_and_verified() -> None:
    network, cases = recorded_cases()
    for name in ("several_addresses", "min_mci", "known_stable_units_some", "requested_joints_genesis"):
        case = cases[name]
        request = case["request"]
        hub = ScriptedHub(case["response"])
        history = client(hub, network).history(
            request.get("addresses", ()),
            requested_units=request.get("requested_joints", ()),
            known_stable_units=request.get("known_stable_units", ()),
            min_main_chain_index=request.get("min_mci"),
        )
        assert hub.asked == [("light/get_history", request)]
        assert {entry.hash for entry in history.units if entry.is_stable} == set(
            case["expected"]["proven_stable"]
        )


def test_nothing_new_is_an_empty_history_and_nothing_asked_is_not_sent() -> None:
    history = client(ScriptedHub({})).history(["A"])
    assert (history.units, history.bounces, history.last_ball_main_chain_index) == ((), (), None)
    hub = ScriptedHub()
    assert client(hub).history([]).units == ()
    assert hub.asked == []


def test_a_history_that_proves_nothing_is_refused() -> None:
    _, cases = recorded_cases()
    wrong = copy.deepcopy(cases["several_addresses"]["response"])
    wrong["joints"][0]["unit"]["messages"][0]["payload"]["outputs"][0]["amount"] += 1
    for response in (wrong, [], None, {"joints": 5}):
        with pytest.raises(ProofError):
            client(ScriptedHub(response), recorded_cases()[0]).history(["A"])


def test_more_than_a_hub_takes_is_asked_for_in_parts() -> None:
    addresses = [f"A{number}" for number in range(4_500)]
    units = [f"U{number}" for number in range(2_001)]
    hub = ScriptedHub({}, {}, {})
    known = [f"K{number}" for number in range(2_500)]
    client(hub).history(addresses + addresses[:3], requested_units=units, known_stable_units=known)
    sent = [params for _, params in hub.asked]
    assert [len(params["addresses"]) for params in sent] == [2_000, 2_000, 500]
    assert [len(params.get("requested_joints", ())) for params in sent] == [2_000, 1, 0]
    assert all(len(params["known_stable_units"]) == 2_000 for params in sent)
    assert [address for params in sent for address in params["addresses"]] == addresses


def test_a_history_that_is_too_large_is_asked_for_in_halves() -> None:
    def answer(command: str, params: dict[str, Any]) -> Any:
        return HubRefused(TOO_LARGE) if len(params.get("addresses", ())) > 2 else {}

    hub = ScriptedHub(*[answer] * 20)
    client(hub).history(["A", "B", "C", "D", "E"], requested_units=["U", "V"])
    answered = [params for _, params in hub.asked if len(params.get("addresses", ())) <= 2]
    assert sorted(address for params in answered for address in params.get("addresses", ())) == list("ABCDE")
    assert sorted(unit for params in answered for unit in params.get("requested_joints", ())) == ["U", "V"]


def test_one_address_that_is_too_large_and_other_refusals_are_told() -> None:
    history = client(ScriptedHub(HubRefused(TOO_LARGE), HubRefused(TOO_LARGE), {})).history(["A", "B"])
    assert history.too_large == {"A"}
    with pytest.raises(HubRefused, match="some addresses are not valid"):
        client(ScriptedHub(HubRefused("some addresses are not valid"))).history(["A", "B"])


def test_parts_are_put_together_with_earlier_units_first() -> None:
    network, cases = recorded_cases()
    whole, first, second = (
        cases[name]["response"] for name in ("aa_closed", "asset_received", "own_unit_unconfirmed")
    )
    later = cases["own_units_after_4_witness"]["response"]
    parts = [second, whole, first, later]
    hub = ScriptedHub(
        HubRefused(TOO_LARGE), HubRefused(TOO_LARGE), *parts[:2], HubRefused(TOO_LARGE), *parts[2:]
    )
    merged = client(hub, network).history(["A", "B", "C", "D"])
    alone = [client(ScriptedHub(part), network).history(["A"]) for part in parts]
    best: dict[str, bool] = {}
    for history in alone:
        for entry in history.units:
            best[entry.hash] = best.get(entry.hash, False) or entry.is_stable
    assert {entry.hash: entry.is_stable for entry in merged.units} == best
    assert len(merged.units) == len(best)
    seen: set[str] = set()
    for entry in merged.units:
        sources = {
            spent["unit"]
            for message in entry.unit.get("messages", ())
            if message["app"] == "payment"
            for spent in message["payload"]["inputs"]
            if "unit" in spent
        }
        assert (sources & best.keys()) <= seen
        seen.add(entry.hash)
    assert merged.last_ball_main_chain_index == min(
        history.last_ball_main_chain_index or 0 for history in alone
    )
    assert merged.bounces == alone[1].bounces
    assert len(merged.bounces) == 2


def test_parts_are_ordered_by_what_builds_on_what_where_the_hub_gives_no_order() -> None:
    network, cases = recorded_cases()
    response = copy.deepcopy(cases["two_own_units_unconfirmed_chained"]["response"])
    later, earlier = response["joints"][:2]
    for joint in (later, earlier):
        joint["unit"].pop("main_chain_index", None)
    parts = [{**response, "joints": [joint]} for joint in (earlier, later)]
    for order in (parts, parts[::-1]):
        light = client(ScriptedHub(HubRefused(TOO_LARGE), *order), network)
        units = [entry.hash for entry in light.history(["A", "B"]).units]
        assert units == [earlier["unit"]["unit"], later["unit"]["unit"]]


def test_a_missing_definition_is_asked_for_once_and_checked() -> None:
    """An unconfirmed unit without its author's definition is believed only with that definition at hand."""
    network, cases = recorded_cases()
    case = cases["double_spend_included"]
    response = case["response"]
    keys = json.loads((TESTS / "traces" / "history.json").read_text("utf-8"))["networks"][0]["keys"]
    unproven = next(
        joint["unit"]
        for joint in response["joints"]
        if joint["unit"]["unit"] in case["expected"]["not_proven"]
    )
    address = unproven["authors"][0]["address"]
    definition = next(key["definition"] for key in keys.values() if key["address"] == address)
    right = {"definition_chash": address, "definition": definition, "is_stable": True}

    hub = ScriptedHub(response, right, response)
    light = client(hub, network)
    for _ in range(2):
        checked = [entry.is_signature_checked for entry in light.history(["A"]).units if not entry.is_stable]
        assert checked == [True]
    commands = [command for command, _ in hub.asked]
    assert commands == ["light/get_history", "light/get_definition_for_address", "light/get_history"]
    assert hub.asked[1][1] == {"address": address}

    for wrong in (
        {**right, "definition": ["sig", {"pubkey": "x"}]},
        {**right, "definition": Key(b"\2" * 32).definition},
        {**right, "definition": {"a": None}},
        {"definition_chash": address},
        HubRefused("no"),
    ):
        light = client(ScriptedHub(response, wrong), network)
        assert not any(
            entry.is_signature_checked for entry in light.history(["A"]).units if not entry.is_stable
        )
    for answer in (None, [], "x"):
        with pytest.raises(HubError, match="no object"):
            client(ScriptedHub(response, answer), network).history(["A"])


def test_definitions_that_came_with_units_are_kept_and_not_asked_for() -> None:
    network, cases = recorded_cases()
    first, later = cases["double_spend_full_history"]["response"], cases["double_spend_before"]["response"]
    hub = ScriptedHub(first, later)
    light = client(hub, network)
    light.history(["A"])
    assert [entry.is_signature_checked for entry in light.history(["A"]).units if not entry.is_stable] == [
        True
    ]
    assert len(hub.asked) == 2


def test_only_so_many_definitions_are_asked_for_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories_module, "MAX_ASKED_DEFINITIONS", 0)
    network, cases = recorded_cases()
    hub = ScriptedHub(cases["double_spend_included"]["response"])
    client(hub, network).history(["A"])
    assert len(hub.asked) == 1

    monkeypatch.setattr(histories_module, "MAX_KEPT_DEFINITIONS", 2)
    providers = [Key(bytes([number]) * 32) for number in range(1, 5)]
    ledger = SmallLedger(providers)
    ledger.advance(3)
    light = client(ScriptedHub(ledger.history(ledger.genesis)), ledger.network)
    assert light.history(["A"]).units[0].unit["authors"][3]["definition"]
    assert len(light._histories._definitions) == 2


def test_the_ledgers_time_is_what_was_proven_of_it_and_never_goes_back() -> None:
    ledger = SmallLedger([Key(b"\1" * 32)])
    ledger.advance(12)
    early = ledger.history(ledger.genesis)
    ledger.add(Key(b"\1" * 32), timestamp=FIRST_TIMESTAMP + 5_000)
    late = ledger.history(ledger.genesis)
    light = client(ScriptedHub({}, early, late, early, PARENTS), ledger.network)
    times = [light.least_time]
    for _ in range(4):
        light.history(["A"])
        times.append(light.least_time)
    assert times[:2] == [0, 0]
    assert FIRST_TIMESTAMP + 12 <= times[2] < FIRST_TIMESTAMP + 5_000
    assert FIRST_TIMESTAMP + 5_000 <= times[3] <= times[4]
    light.parents(["A"], ["A"])
    assert light.least_time < PARENTS["timestamp"], "what a hub says of it counts for nothing"


# --- parents, definitions ---

PARENTS = {
    "timestamp": 1795308567,
    "parent_units": ["HkqZDATlriWGUIGv/IjJUKmrYFNBOidfLdul9lHPfpg="],
    "last_stable_mc_ball": "tU+wQxdM1Qzdmb8fYImPq8i/pqZeGFZkzVEWbweK+ak=",
    "last_stable_mc_ball_unit": "AZPbYL9IHvNFem+ntOGBBz/iVFLf1q9j8OlM1WXqEEw=",
    "last_stable_mc_ball_mci": 19,
    "tps_fee": 11,
    "count_primary_aa_triggers": 1,
}


def test_parents_are_asked_for_as_the_real_client_does() -> None:
    hub = ScriptedHub(PARENTS, PARENTS)
    parents = client(hub).parents(["F"], ["P", "F", "P"], 1)
    assert parents == Parents(
        timestamp=1795308567,
        parent_units=("HkqZDATlriWGUIGv/IjJUKmrYFNBOidfLdul9lHPfpg=",),
        last_ball="tU+wQxdM1Qzdmb8fYImPq8i/pqZeGFZkzVEWbweK+ak=",
        last_ball_unit="AZPbYL9IHvNFem+ntOGBBz/iVFLf1q9j8OlM1WXqEEw=",
        last_ball_mci=19,
        tps_fee=11,
        primary_aa_triggers=1,
    )
    client(hub).parents(["F"], ["F"])
    command = "light/get_parents_and_last_ball_and_witness_list_unit"
    witnesses = list(NETWORK.order_providers)
    one = {
        "witnesses": witnesses,
        "from_addresses": ["F"],
        "output_addresses": ["F", "P"],
        "max_aa_responses": 1,
    }
    ten = {**one, "output_addresses": ["F"], "max_aa_responses": 10}
    assert hub.asked == [(command, one), (command, ten)]


@pytest.mark.parametrize(
    "change",
    [
        {"timestamp": "1795308567"},
        {"timestamp": 0},
        {"parent_units": []},
        {"parent_units": ["short"]},
        {"last_stable_mc_ball": None},
        {"last_stable_mc_ball_unit": 5},
        {"last_stable_mc_ball_mci": -1},
        {"last_stable_mc_ball_mci": True},
        {"tps_fee": -1},
        {"tps_fee": 1.5},
        {"tps_fee": None},
        {"count_primary_aa_triggers": "1"},
    ],
)
def test_an_answer_about_parents_of_the_wrong_shape_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(HubError, match="malformed"):
        client(ScriptedHub({**PARENTS, **change})).parents(["F"], ["F"])


def test_an_answer_about_parents_that_is_no_object_is_refused() -> None:
    for answer in (None, [], "x"):
        with pytest.raises(HubError, match="no object"):
            client(ScriptedHub(answer)).parents(["F"], ["F"])


# --- posting ---


def test_a_unit_that_is_accepted_or_known_is_posted() -> None:
    hub = ScriptedHub("accepted", HubRefused("known"))
    light = client(hub)
    light.post({"unit": "U"})
    light.post({"unit": "U"})
    assert hub.asked == [("post_joint", {"unit": {"unit": "U"}})] * 2


@pytest.mark.parametrize(
    "outcome",
    [
        HubRefused("known bad"),
        HubRefused("tps_fee 0 less than required"),
        HubTimeout("late"),
        HubError("lost"),
    ],
)
def test_any_other_outcome_of_posting_is_told(outcome: HubError) -> None:
    with pytest.raises(type(outcome), match=str(outcome)):
        client(ScriptedHub(outcome)).post({"unit": "U"})


@pytest.mark.parametrize("answer", [None, "refused", {}, ["accepted"]])
def test_an_answer_to_a_post_that_says_nothing_leaves_the_outcome_unknown(answer: Any) -> None:
    with pytest.raises(HubError, match="neither acceptance nor refusal") as failure:
        client(ScriptedHub(answer)).post({"unit": "U"})
    assert not isinstance(failure.value, HubRefused)


# --- assets ---


def asset_joint() -> dict[str, Any]:
    unit = next(unit for unit in recorded_units() if unit["name"] == "asset_definition")
    return dict(copy.deepcopy(unit["final_joint"]))


def test_an_assets_definition_is_that_of_the_unit_whose_hash_it_is() -> None:
    joint = asset_joint()
    asset = joint["unit"]["unit"]
    hub = ScriptedHub({"joint": joint})
    definition = client(hub).asset_definition(asset)
    assert definition is not None
    assert definition["is_private"] is False
    assert hub.asked == [("get_joint", asset)]


def test_what_is_no_asset_has_no_definition() -> None:
    payment = copy.deepcopy(recorded_units()[0]["final_joint"])
    name = payment["unit"]["unit"]
    assert client(ScriptedHub({"joint_not_found": name})).asset_definition(name) is None
    assert client(ScriptedHub({"joint": payment})).asset_definition(name) is None
    hub = ScriptedHub()
    assert client(hub).asset_definition("base") is None
    assert hub.asked == []


def test_another_unit_or_another_definition_than_the_assets_is_refused() -> None:
    asset = asset_joint()["unit"]["unit"]
    other_unit = copy.deepcopy(recorded_units()[0]["final_joint"])
    claims_the_hash = copy.deepcopy(other_unit)
    claims_the_hash["unit"]["unit"] = asset
    other_payload = asset_joint()
    message = next(message for message in other_payload["unit"]["messages"] if message["app"] == "asset")
    message["payload"]["is_private"] = not message["payload"]["is_private"]
    no_payload = asset_joint()
    del next(message for message in no_payload["unit"]["messages"] if message["app"] == "asset")["payload"]
    for joint in (other_unit, claims_the_hash, other_payload, no_payload, {"unit": {}}, {"unit": None}):
        with pytest.raises(HubError, match="the hub gave another"):
            client(ScriptedHub({"joint": joint})).asset_definition(asset)


# --- news ---


def test_news_are_whatever_hints_at_something_new_until_ended() -> None:
    hub = ScriptedHub()
    light = client(hub)
    told: list[int] = []
    end = light.on_news(lambda unit: told.append(1))
    assert hub.is_started
    subjects = {subject for subject, _ in hub.callbacks}
    assert subjects == {
        "light/have_updates",
        "joint",
        "light/aa_response",
        "light/sequence_became_bad",
        "connect",
    }
    for subject, callback in hub.callbacks:
        callback() if subject == "connect" else callback({"body": 1})
    assert len(told) == 5
    end()
    assert hub.callbacks == []
    light.close()
    assert hub.is_closed


# --- against the local network ---


def test_a_light_client_lives_on_the_local_network(net: Devnet) -> None:
    light = LightClient(Hub(net.url, net.network), net.network)
    try:
        faucet = key_from_mnemonic(net.mnemonic)
        asset = net.issue_asset(1_000)
        address = Key(b"\7" * 32).address
        assert light.history([address]).units == ()
        told: list[int] = []
        light.on_news(lambda unit: told.append(1))
        unit = net.fund(address, 10_000)
        net.settle()
        [entry] = light.history([address]).units
        assert (entry.hash, entry.is_stable) == (unit, True)
        definition = light.asset_definition(asset)
        assert definition is not None
        assert definition["is_private"] is False
        wallet = Wallet(faucet, light, max_tps_fee=10_000)
        paid = wallet.pay([Output(address, 5_000)])
        light.post(paid)
        with pytest.raises(HubRefused, match="wrong unit hash"):
            light.post({**paid, "unit": unit[:10] + paid["unit"][10:]})
        net.settle()
        assert net.balance(address) == 15_000
        assert told
    finally:
        light.close()


def test_agents_are_asked_for_by_base_and_parameters_and_their_definitions_returned() -> None:
    rows = [{"address": "A", "definition": ["autonomous agent", {}], "unit": "u"}, {"address": "B"}]
    hub = ScriptedHub(rows)
    assert client(hub).agents(["Z", "B"], {"addressA": "me"}) == [["autonomous agent", {}], None]
    assert hub.asked == [
        ("light/get_aas_by_base_aas", {"base_aas": ["B", "Z"], "params": {"addressA": "me"}})
    ]


@pytest.mark.parametrize("answer", [None, {}, "none", [1], [None], [[]]])
def test_an_answer_about_agents_that_is_no_list_of_objects_is_refused(answer: Any) -> None:
    with pytest.raises(HubError, match="no list"):
        client(ScriptedHub(answer)).agents(["A"], {})
