"""What the agent's answers become on the ledger: which coins are spent, what is kept, what cannot be paid."""

from __future__ import annotations

import pytest

from paypercall.devnet.agent import AgentState, Closing, Party
from paypercall.devnet.agent_unit import INPUT_SIZE, OUTPUT_SIZE, AgentCoin, Execution
from paypercall.obyte.unit import headers_size, total_payload_size, unit_hash
from tests.devnet.scene import START, STRANGER, TOKEN, A, B, Scene, outputs, some_hash


def coin(name: str, amount: int, asset: str = "base", index: int | None = 1, **place: int) -> AgentCoin:
    where = {"latest_included_index": 0, "level": 0, **place}
    return AgentCoin(some_hash(name), 0, 0, amount, asset, index, **where)


def inputs(execution: Execution, asset: str = "base") -> list[str]:
    assert execution.unit is not None
    return [
        spent["unit"]
        for message in execution.unit["messages"]
        if message["app"] == "payment" and message["payload"].get("asset", "base") == asset
        for spent in message["payload"]["inputs"]
    ]


def closing(scene: Scene, **balances: int) -> Scene:
    scene.state = AgentState(period=1, event_id=5, closing=Closing(Party.B, START, 0, 0), **balances)
    return scene


def closing_with(*coins: AgentCoin) -> Scene:
    scene = closing(Scene())
    scene.coins = list(coins)
    return scene


def confirm(scene: Scene) -> Execution:
    return scene.send(A, {"confirm": 1, "period": 1})


def test_a_response_unit_pays_exactly_its_size_and_has_the_hash_of_its_content() -> None:
    scene = Scene()
    unit = scene.deposit(B, 50_000).unit
    assert unit is not None
    assert unit["headers_commission"] == headers_size(unit)
    assert unit["payload_commission"] == total_payload_size(unit)
    assert unit["unit"] == unit_hash(unit)
    assert "tps_fee" not in unit
    assert outputs(scene.deposit(B, 50_000))[scene.aa_address] == 50_000 - scene.fees / 2


def test_the_oldest_coins_are_spent_first_and_no_more_than_needed() -> None:
    scene = Scene()
    scene.coins = [coin("young", 50_000, index=9), coin("old", 300, index=2), coin("older", 400, index=1)]
    assert inputs(scene.deposit(B, 20_000)) == [some_hash("older"), some_hash("old"), some_hash("young")]


def test_at_one_index_coins_are_spent_in_the_order_of_their_units() -> None:
    scene = closing(Scene())
    names = ["a", "b", "c", "d"]
    scene.coins = [coin(name, 50_000) for name in names]
    assert inputs(confirm(scene))[:4] == sorted(some_hash(name) for name in names)


def test_what_agents_just_sent_is_spent_after_all_that_is_stable() -> None:
    scene = closing(Scene())
    scene.coins = [
        coin("deep", 50_000, index=None, latest_included_index=5, level=9),
        coin("not yet stable", 50_000, index=10_000, latest_included_index=5, level=8),
        coin("older", 50_000, index=None, latest_included_index=4, level=20),
    ]
    trigger = scene.trigger(A).unit
    expected = [trigger, some_hash("older"), some_hash("not yet stable"), some_hash("deep")]
    assert inputs(confirm(scene)) == expected


def test_dust_is_never_spent() -> None:
    scene = closing_with(coin("dust", 88), coin("plenty", 50_000))
    assert some_hash("dust") not in inputs(confirm(scene))
    assert some_hash("just enough") in inputs(
        confirm(closing_with(coin("just enough", 89), coin("plenty", 50_000)))
    )


def refund(*coins: AgentCoin) -> Execution:
    """Returns what the agent does to send back 10,000 bytes."""
    scene = Scene()
    return scene.execute(scene.trigger(STRANGER, bytes=20_000), coins, byte_balance=10**6)


def size_of_a_refund() -> int:
    """Returns the size of that unit with one coin and without change."""
    unit = refund(coin("funds", 10**6)).unit
    assert unit is not None
    return int(unit["headers_commission"] + unit["payload_commission"]) - OUTPUT_SIZE


def test_coins_that_cover_the_unit_exactly_leave_no_change() -> None:
    exact = coin("exact", 10_000 + size_of_a_refund())
    assert outputs(refund(exact)) == {STRANGER.address: 10_000}


@pytest.mark.parametrize("rest, coins_needed", [(OUTPUT_SIZE, 2), (OUTPUT_SIZE + 1, 1)])
def test_a_rest_too_small_for_an_output_takes_one_more_coin(rest: int, coins_needed: int) -> None:
    first = coin("first", 10_000 + size_of_a_refund() + rest)
    execution = refund(first, coin("second", 50_000, index=2))
    assert len(execution.spent) == coins_needed


def test_the_state_stays_backed_when_everything_is_paid_out() -> None:
    scene = closing(Scene(), balance_a=100_000)
    scene.coins = [coin("funds", 500_000)]
    reserve = scene.state.storage_size
    assert reserve > 89
    assert outputs(confirm(scene))[scene.aa_address] == reserve


def test_no_bytes_are_kept_when_only_a_fixed_amount_is_paid() -> None:
    scene = closing(Scene())
    scene.coins = [coin("funds", 500_000)]
    execution = scene.send(B, bytes=30_000)  # a refused deposit
    assert sorted(outputs(execution)) == sorted([B.address, scene.aa_address])
    assert outputs(execution)[B.address] == 20_000


def test_all_of_an_asset_that_is_not_there_is_no_payment() -> None:
    scene = closing(Scene(TOKEN))
    scene.coins = [coin("funds", 50_000)]
    assert outputs(confirm(scene), TOKEN) == {}


def test_what_the_agent_cannot_pay_bounces() -> None:
    scene = closing(Scene(), balance_a=100_000, balance_b=100_000)
    before = scene.state
    execution = confirm(scene)
    assert execution.error is not None
    assert execution.error.startswith("not enough funds for 1")
    assert execution.error.endswith(" bytes")
    assert execution.state == before
    assert execution.unit is None


def test_missing_tokens_bounce_and_everything_comes_back() -> None:
    scene = closing(Scene(TOKEN), balance_a=100_000, balance_b=100_000)
    scene.coins = [coin("funds", 50_000), coin("tokens", 500, TOKEN)]
    execution = scene.send(A, {"confirm": 1, "period": 1}, bytes=12_000)
    assert execution.error == f"not enough funds for 100000 of asset {TOKEN}"
    assert outputs(execution)[A.address] == 2_000
    assert scene.balance(TOKEN) == 500


def test_a_bounce_that_cannot_be_paid_says_both() -> None:
    scene = closing(Scene(TOKEN), balance_a=100_000, balance_b=100_000)
    trigger = scene.trigger(A, {"confirm": 1, "period": 1}, bytes=20_000)
    execution = scene.execute(trigger, coins=(), byte_balance=20_000)
    assert execution.unit is None
    assert execution.error == (
        f"not enough funds for 100000 of asset {TOKEN}, "
        f"then not enough funds for {10_000 + size_of_a_refund() - INPUT_SIZE} bytes"
    )


def test_amounts_that_are_no_safe_numbers_cannot_be_paid() -> None:
    scene = Scene()
    claim = Closing(Party.B, START, spent_by_a=0, spent_by_b=0)
    scene.state = AgentState(1, 5, balance_a=10**16, balance_b=10**16, closing=claim)
    scene.coins = [coin("funds", 50_000)]
    assert confirm(scene).error == "negative or fractional amounts"


@pytest.mark.parametrize("missing, is_backed", [(0, True), (1, False)], ids=["just backed", "a byte short"])
def test_a_state_that_the_bytes_do_not_back_bounces(missing: int, is_backed: bool) -> None:
    scene = Scene(TOKEN)
    scene.deposit(B, 100_000)
    trigger = scene.trigger(B, {"close": 1, "period": 1}, bytes=12_000)
    # Coins of triggers that still wait may be spent already, but do not count as the agent's balance yet.
    accepted = scene.execute(trigger, [coin("all", 50_000)], byte_balance=50_000)
    fees = 50_000 - outputs(accepted)[scene.aa_address]
    size = accepted.state.storage_size
    assert size > INPUT_SIZE
    execution = scene.execute(trigger, [coin("all", 50_000)], byte_balance=fees + size - missing)
    assert execution.is_bounced is not is_backed
    if not is_backed:
        assert execution.error == f"byte balance {size - 1} would drop below new storage size {size}"
        assert outputs(execution)[B.address] == 2_000
        assert execution.state == scene.state
