"""Which addresses the hub is asked about, and from where on: nothing is forgotten, and little is asked twice."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paypercall.settlement.following import BATCH, RECENT_SECONDS, Following

WALLET = "W"
ADDRESSES = st.lists(st.sampled_from("ABCDEFGHIJ"), unique=True)


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.time = 1_000

    def __call__(self) -> int:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


def following_of(addresses: Iterable[str], clock: Clock | None = None) -> Following:
    following = Following(WALLET, clock or Clock())
    following.add(addresses)
    return following


def whole_round(following: Following) -> list[str]:
    """What comes in turn until the round ends."""
    found: list[str] = []
    while batch := following.next_in_turn():
        found += batch
    return found


def test_every_address_waits_for_its_whole_history_at_first() -> None:
    following = following_of("AB")
    assert following.is_behind
    assert following.next_waiting() == [WALLET, "A", "B"]
    assert following.since(["A", "B"]) is None
    assert not following.is_up_to_date("A")


def test_an_address_is_followed_until_it_is_left_out_and_the_wallet_always() -> None:
    following = following_of("ABC")
    following.asked("ABC", 7)
    following.keep("BD")
    assert [address in following for address in (WALLET, *"ABCD")] == [True, False, True, False, True]
    assert following.since("B") == 7
    assert following.since("D") is None
    assert "D" in following.next_waiting()


def test_what_is_no_longer_followed_is_neither_waited_for_nor_recent_nor_taken_note_of() -> None:
    following = following_of("AB")
    following.note_recent("AB")
    following.keep("B")
    following.asked("A", 7)
    following.note_recent("A")
    following.touch("A")
    following.begin_anew("A")
    assert "A" not in following
    assert "A" not in following.next_waiting()
    assert following.active() == [WALLET, "B"]


def test_an_address_that_is_added_again_keeps_what_is_known_of_it() -> None:
    following = following_of("A")
    following.asked([WALLET, "A"], 7)
    following.add("A")
    assert following.since("A") == 7
    assert not following.is_behind


def test_before_anything_is_proven_an_address_that_was_asked_about_is_asked_about_from_the_beginning() -> (
    None
):
    following = following_of("A")
    following.asked([WALLET, "A"], None)
    assert not following.is_behind
    assert following.since("A") is None
    assert following.is_up_to_date("A")


@given(st.dictionaries(st.sampled_from("ABCDEFGHIJ"), st.none() | st.integers(0, 99), min_size=1))
def test_addresses_are_asked_about_together_from_the_earliest_point_of_any(
    indices: dict[str, int | None],
) -> None:
    following = following_of(indices)
    for address, index in indices.items():
        following.asked(address, index)
    since = following.since(indices)
    assert all(since is None or (index is not None and since <= index) for index in indices.values())
    assert since in indices.values()


def test_about_no_address_there_is_nothing_known() -> None:
    assert following_of("A").since([]) is None


def test_a_new_session_asks_about_all_again() -> None:
    following = following_of("AB")
    following.asked([WALLET, "A"], 7)
    following.begin_session()
    assert following.next_waiting() == [WALLET, "A", "B"]
    assert following.since("A") == 7
    assert following.since("B") is None
    assert not following.is_up_to_date("A")
    following.asked("A", 8)
    assert following.is_up_to_date("A")


@given(st.integers(0, 50), st.integers(0, 50))
def test_a_step_back_asks_from_so_much_earlier_on_but_not_before_the_beginning(
    reached: int, indices: int
) -> None:
    following = following_of("AB")
    following.asked([WALLET, "A"], reached)
    following.step_back(indices)
    assert following.since("A") == max(0, reached - indices)
    assert following.since("B") is None


def test_whole_histories_are_asked_for_anew_of_some_addresses_or_of_all() -> None:
    following = following_of("AB")
    following.asked([WALLET, *"AB"], 7)
    following.begin_anew("A")
    assert [following.since(address) for address in (WALLET, *"AB")] == [7, None, 7]
    following.begin_anew()
    assert [following.since(address) for address in (WALLET, *"AB")] == [None] * 3
    assert not following.is_behind


def test_an_address_on_which_something_happened_is_asked_about_for_a_while(clock: Clock) -> None:
    following = following_of("ABC", clock)
    following.note_recent("A")
    clock.time += RECENT_SECONDS - 1
    following.note_recent("B")
    assert following.active() == [WALLET, "A", "B"]
    clock.time += 1
    assert following.active() == [WALLET, "B"]
    clock.time += RECENT_SECONDS
    assert following.active() == [WALLET]


def test_what_a_hub_shows_makes_an_address_worth_a_look_from_the_next_one_on(clock: Clock) -> None:
    following = following_of("AB", clock)
    following.touch(["B", "stranger"])
    clock.time += RECENT_SECONDS
    assert following.active() == [WALLET, "B"]
    clock.time += RECENT_SECONDS - 1
    assert following.active() == [WALLET, "B"]
    clock.time += 1
    assert following.active() == [WALLET]


def test_as_many_addresses_wait_together_as_fit_into_one_question_and_the_first_come_first() -> None:
    addresses = [f"A{number}" for number in range(2 * BATCH)]
    following = following_of(addresses)
    asked = 0
    while waiting := following.next_waiting():
        assert waiting == [WALLET, *addresses][asked : asked + BATCH]
        following.asked(waiting, 7)
        asked += len(waiting)
    assert asked == 1 + len(addresses)
    assert not following.is_behind


@pytest.mark.parametrize("count", [0, 1, BATCH - 2, BATCH - 1, BATCH, 2 * BATCH + 3])
def test_each_address_has_its_turn_once_a_round(count: int) -> None:
    following = following_of(f"A{number}" for number in range(count))
    assert following.next_in_turn() == []
    for _ in range(2):
        found = whole_round(following)
        assert len(found) == len(set(found)) == count + 1


@given(ADDRESSES, ADDRESSES, ADDRESSES)
def test_whatever_is_added_and_left_out_the_next_round_has_all_that_is_followed(
    first: list[str], added: list[str], kept: list[str]
) -> None:
    following = following_of(first)
    whole_round(following)
    following.add(added)
    following.keep(kept)
    assert set(whole_round(following)) <= {WALLET, *kept}
    assert sorted(whole_round(following)) == sorted({WALLET, *kept})
