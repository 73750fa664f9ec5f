"""What holds for the agent under any sequence of triggers, such as: no byte ever gets lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from paypercall.devnet.agent_unit import INPUT_SIZE, Execution
from paypercall.obyte.keys import Key
from tests.devnet.scene import STRANGER, TIMEOUT, TOKEN, A, B, Scene

Act = Callable[[Scene], Execution]

parties = st.sampled_from([A, B])
people = st.sampled_from([A, B, STRANGER])
amounts = st.integers(0, 300_000) | st.sampled_from([1, 9_999, 10_000, 10_001, 10_089])
odd_values = st.sampled_from([-1, 1.5, "7", "x", True, False, "", [3], {"a": 1}, 10**20])
claims = st.integers(0, 400_000)
waits = st.sampled_from([0, TIMEOUT])


def peer(party: Key) -> Key:
    return B if party is A else A


@st.composite
def deposits(draw: st.DrawFn) -> Act:
    sender, amount = draw(parties), draw(st.integers(1, 300_000))
    return lambda scene: scene.deposit(sender, amount + 10_000)


@st.composite
def closes(draw: st.DrawFn) -> Act:
    sender, owed, shown = draw(parties), draw(claims), draw(st.none() | claims)

    def act(scene: Scene) -> Execution:
        data: dict[str, Any] = {"close": 1, "period": scene.state.period, "transferredFromMe": owed}
        if shown is not None:
            data["sentByPeer"] = scene.package(peer(sender), shown)
        return scene.send(sender, data)

    return act


@st.composite
def confirmations(draw: st.DrawFn) -> Act:
    sender, more, wait = draw(parties), draw(claims), draw(waits)

    def act(scene: Scene) -> Execution:
        scene.time += wait
        data = {"confirm": 1, "period": scene.state.period, "additionalTransferredFromMe": more}
        return scene.send(sender, data)

    return act


@st.composite
def fraud_proofs(draw: st.DrawFn) -> Act:
    sender, signer, shown = draw(people), draw(parties), draw(claims)
    return lambda scene: scene.send(sender, {"fraud_proof": 1, "sentByPeer": scene.package(signer, shown)})


@st.composite
def messes(draw: st.DrawFn) -> Act:
    """Draws a trigger in which anything may be wrong: sender, money, command, period, amounts, package."""
    sender, signer = draw(people), draw(people)
    outputs = {"bytes": draw(amounts), "tokens": draw(amounts)}
    command = draw(st.sampled_from([None, "close", "confirm", "fraud_proof"]))
    claim, signed = draw(claims | odd_values), draw(claims | odd_values)
    period_step = draw(st.sampled_from([0, 0, 1]))

    def act(scene: Scene) -> Execution:
        if command is None:
            return scene.send(sender, **outputs)
        data: dict[str, Any] = {command: 1, "period": scene.state.period + period_step}
        data |= {"transferredFromMe": claim, "additionalTransferredFromMe": claim}
        data["sentByPeer"] = scene.package(signer, signed)
        return scene.send(sender, data, **outputs)

    return act


acts = deposits() | closes() | confirmations() | fraud_proofs() | messes()
plays = st.tuples(st.sampled_from(["base", TOKEN]), st.lists(acts, max_size=15))


@given(plays)
def test_whatever_comes_in_is_paid_out_spent_on_fees_or_still_there(play: tuple[str, list[Act]]) -> None:
    asset, acts_of_play = play
    scene = Scene(asset)
    for act in acts_of_play:
        act(scene)
        assert scene.received["base"] == scene.paid["base"] + scene.fees + scene.balance("base")
        assert scene.received[TOKEN] == scene.paid[TOKEN] + scene.balance(TOKEN)


@given(plays)
def test_every_accepted_trigger_is_the_next_event_and_no_other_is(play: tuple[str, list[Act]]) -> None:
    asset, acts_of_play = play
    scene = Scene(asset)
    for act in acts_of_play:
        before = scene.state
        execution = act(scene)
        if execution.is_bounced:
            assert scene.state == before
            continue
        assert scene.state.event_id == (before.event_id or 1) + 1
        assert execution.unit is not None
        told = next(m["payload"] for m in execution.unit["messages"] if m["app"] == "data")
        assert told["event_id"] == scene.state.event_id - 1


@given(plays)
def test_periods_only_go_forward_and_only_by_settling_one(play: tuple[str, list[Act]]) -> None:
    asset, acts_of_play = play
    scene = Scene(asset)
    for act in acts_of_play:
        before = scene.state
        execution = act(scene)
        payloads = [
            m["payload"] for m in (execution.unit or {"messages": []})["messages"] if m["app"] == "data"
        ]
        if any("closed" in payload for payload in payloads):
            assert scene.state.period == before.period + 1
            assert scene.state.closing is None
            assert scene.state.balance_a == scene.state.balance_b == 0
        else:
            assert scene.state.period in (before.period, before.period or 1)


@given(plays)
def test_a_bounced_trigger_costs_its_sender_the_bounce_fee_and_nothing_else(
    play: tuple[str, list[Act]],
) -> None:
    asset, acts_of_play = play
    scene = Scene(asset)
    for act in acts_of_play:
        received, paid = scene.received.copy(), scene.paid.copy()
        execution = act(scene)
        received_now, paid_now = scene.received - received, scene.paid - paid
        if not execution.is_bounced:
            continue
        if received_now["base"] < 10_000:
            assert not paid_now
        else:
            assert paid_now["base"] == received_now["base"] - 10_000
            assert paid_now[TOKEN] == received_now[TOKEN]


@given(plays)
def test_the_agent_can_always_pay_for_what_it_remembers(play: tuple[str, list[Act]]) -> None:
    asset, acts_of_play = play
    scene = Scene(asset)
    for act in acts_of_play:
        if not act(scene).is_bounced and scene.state.storage_size > INPUT_SIZE:
            assert scene.balance("base") >= scene.state.storage_size


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(["base", TOKEN]))
def test_an_honest_close_pays_each_side_its_balance(
    deposit: int, owed_by_b: int, owed_by_a: int, asset: str
) -> None:
    scene = Scene(asset)
    scene.deposit(B, 20_000 + deposit)
    scene.deposit(A, 20_000 + deposit)
    scene.send(
        B,
        {"close": 1, "period": 1, "transferredFromMe": owed_by_b, "sentByPeer": scene.package(A, owed_by_a)},
    )
    execution = scene.send(A, {"confirm": 1, "period": 1})
    balances = {
        A.address: 20_000 + deposit + owed_by_b - owed_by_a,
        B.address: 20_000 + deposit + owed_by_a - owed_by_b,
    }
    smaller = max(0, min(balances.values()))
    assert execution.unit is not None
    paid = [
        output
        for message in execution.unit["messages"]
        if message["app"] == "payment" and message["payload"].get("asset", "base") == asset
        for output in message["payload"]["outputs"]
    ]
    loser = A.address if balances[A.address] < balances[B.address] else B.address
    expected = smaller + (10_000 if asset == "base" else 0)
    assert sum(output["amount"] for output in paid if output["address"] == loser) == expected
