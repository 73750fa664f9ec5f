"""What must be sent is kept with every unit that was ever signed for it."""

from __future__ import annotations

import pytest

from paypercall.store import OutboxKind, OutboxState, Store, StoreError
from tests.store.samples import channel, unit_hash

AA_ADDRESS = channel().aa_address
UNIT, REPLACEMENT = (
    {"unit": unit_hash(1), "secret": "é"},
    {"unit": unit_hash(2), "messages": [{"app": "data"}]},
)


@pytest.fixture(autouse=True)
def known_channel(store: Store) -> None:
    """Adds the channel that the rows belong to."""
    with store.transaction() as books:
        books.channels.add(channel(), created_at=1)


def add(store: Store, kind: OutboxKind = OutboxKind.CLOSE, period: int = 1) -> int:
    with store.transaction() as books:
        return books.outbox.add(kind, aa_address=AA_ADDRESS, period=period, details={"amount": 7}, now=10)


def test_a_decided_row_comes_back_as_it_was_added(store: Store) -> None:
    number = add(store)
    with store.reading() as books:
        row = books.outbox.get(number)
        assert books.outbox.get(number + 1) is None
    assert row is not None
    assert (row.kind, row.state, row.aa_address, row.period) == (
        OutboxKind.CLOSE,
        OutboxState.DECIDED,
        AA_ADDRESS,
        1,
    )
    assert (row.details, row.unit, row.units) == ({"amount": 7}, None, ())
    assert (row.attempts, row.last_error, row.created_at, row.updated_at) == (0, None, 10, 10)


def test_a_withdrawal_belongs_to_no_channel(store: Store) -> None:
    with store.transaction() as books:
        number = books.outbox.add(OutboxKind.WITHDRAWAL, aa_address=None, period=None, details={}, now=10)
        row = books.outbox.get(number)
    assert row is not None
    assert (row.aa_address, row.period) == (None, None)


def test_a_row_goes_through_its_states(store: Store) -> None:
    number = add(store)
    with store.transaction() as books:
        books.outbox.signed(number, UNIT, now=11)
        assert books.outbox.unfinished()[0].state is OutboxState.SIGNED
        assert books.outbox.has_unsent(AA_ADDRESS, OutboxKind.CLOSE)
        assert not books.outbox.has_unsent(AA_ADDRESS, OutboxKind.CONFIRM)
        books.outbox.posted(number, now=12)
        assert books.outbox.unfinished()[0].state is OutboxState.POSTED
        assert not books.outbox.has_unsent(AA_ADDRESS, OutboxKind.CLOSE)
        books.outbox.finished(number, OutboxState.STABLE, now=13)
        assert books.outbox.unfinished() == []
        row = books.outbox.get(number)
    assert row is not None
    assert (row.state, row.unit, row.updated_at) == (OutboxState.STABLE, UNIT, 13)


def test_a_row_for_which_nothing_was_signed_can_be_cancelled_and_nothing_is_signed_for_it_any_more(
    store: Store,
) -> None:
    number = add(store)
    with store.transaction() as books:
        assert books.outbox.cancel(number, now=11)
        assert not books.outbox.cancel(number, now=12)
        row = books.outbox.get(number)
        assert row is not None
        assert (row.state, row.updated_at) == (OutboxState.FAILED, 11)
    with pytest.raises(StoreError, match="finished"), store.transaction() as books:
        books.outbox.signed(number, UNIT, now=13)
    with store.reading() as books:
        assert books.outbox.signed_units(number) == []


def test_a_row_for_which_a_unit_was_signed_cannot_be_cancelled(store: Store) -> None:
    number = add(store)
    with store.transaction() as books:
        books.outbox.signed(number, UNIT, now=11)
        assert not books.outbox.cancel(number, now=12)
        books.outbox.posted(number, now=13)
        assert not books.outbox.cancel(number, now=14)
        assert [row.state for row in books.outbox.unfinished()] == [OutboxState.POSTED]


@pytest.mark.parametrize("state", [state for state in OutboxState if not state.is_finished])
def test_a_row_ends_only_as_stable_or_failed(store: Store, state: OutboxState) -> None:
    number = add(store)
    with store.transaction() as books, pytest.raises(ValueError, match="stable or failed"):
        books.outbox.finished(number, state, now=11)


def test_replaced_units_are_kept_and_lead_to_their_row(store: Store) -> None:
    number = add(store)
    with store.transaction() as books:
        books.outbox.signed(number, UNIT, now=11)
        books.outbox.posted(number, now=12)
        books.outbox.signed(number, REPLACEMENT, now=13)
    with store.reading() as books:
        row = books.outbox.by_unit(unit_hash(1))
        assert row == books.outbox.by_unit(unit_hash(2))
        assert books.outbox.by_unit(unit_hash(3)) is None
    assert row is not None
    assert (row.id, row.state, row.unit) == (number, OutboxState.SIGNED, REPLACEMENT)
    assert row.units == (unit_hash(1), unit_hash(2))


def test_the_same_unit_may_be_signed_again(store: Store) -> None:
    number = add(store)
    with store.transaction() as books:
        books.outbox.signed(number, UNIT, now=11)
        books.outbox.signed(number, REPLACEMENT, now=12)
        books.outbox.signed(number, UNIT, now=13)
        row = books.outbox.get(number)
    assert row is not None
    assert (row.unit, row.units) == (UNIT, (unit_hash(1), unit_hash(2)))


def test_a_unit_is_not_taken_for_a_second_row(store: Store) -> None:
    first, second = add(store), add(store)
    with store.transaction() as books:
        books.outbox.signed(first, UNIT, now=11)
        with pytest.raises(StoreError, match="another row"):
            books.outbox.signed(second, UNIT, now=12)


def test_failed_attempts_are_counted_and_a_post_clears_the_error(store: Store) -> None:
    number = add(store)
    with store.transaction() as books:
        books.outbox.failed_attempt(number, "no bytes", now=11)
        books.outbox.failed_attempt(number, "no hub", now=12)
        row = books.outbox.get(number)
        assert row is not None
        assert (row.state, row.attempts, row.last_error) == (OutboxState.DECIDED, 2, "no hub")
        books.outbox.posted(number, now=13)
        row = books.outbox.get(number)
    assert row is not None
    assert (row.attempts, row.last_error, row.updated_at) == (2, None, 13)


def test_rows_are_found_by_what_they_are_about_the_oldest_first(store: Store) -> None:
    close, refill, later = add(store), add(store, OutboxKind.REFILL), add(store, OutboxKind.CLOSE, period=2)
    again = add(store)
    with store.transaction() as books:
        books.outbox.finished(close, OutboxState.FAILED, now=11)
        assert [row.id for row in books.outbox.unfinished()] == [refill, later, again]
        assert [row.id for row in books.outbox.of_period(AA_ADDRESS, 1)] == [close, refill, again]
        assert books.outbox.of_period(channel("other").aa_address, 1) == []


def test_a_stable_row_has_the_unit_that_has_won_and_is_found_until_it_is_done_with(store: Store) -> None:
    number, other = add(store, OutboxKind.UNIT_PAYMENT), add(store, OutboxKind.WITHDRAWAL)
    with store.transaction() as books:
        books.outbox.signed(number, UNIT, now=11)
        books.outbox.signed(number, {**UNIT, "unit": "replacement"}, now=12)
        assert books.outbox.stable(OutboxKind.UNIT_PAYMENT) == []
        books.outbox.finished(number, OutboxState.STABLE, now=13, won=UNIT["unit"])
        books.outbox.finished(other, OutboxState.STABLE, now=13)
        (row,) = books.outbox.stable(OutboxKind.UNIT_PAYMENT)
        assert (row.id, row.unit, row.is_done_with) == (number, UNIT, False)
        assert books.outbox.lock(number) == row
        books.outbox.done_with(number, row.details)
        assert books.outbox.stable(OutboxKind.UNIT_PAYMENT) == []
        done = books.outbox.get(number)
    assert done is not None
    assert (done.is_done_with, done.details.keys() - row.details.keys()) == (True, {"is_done_with"})
    assert (done.state, done.updated_at) == (OutboxState.STABLE, 13)


def test_an_unknown_row_cannot_be_changed(store: Store) -> None:
    with store.transaction() as books, pytest.raises(StoreError, match="no such row"):
        books.outbox.posted(99, now=11)


def test_a_row_does_not_show_its_package_in_its_repr(store: Store) -> None:
    number = add(store)
    with store.transaction() as books:
        books.outbox.signed(number, UNIT, now=11)
        assert "secret" not in repr(books.outbox.get(number))


@pytest.mark.parametrize("state", [state for state in OutboxState if state.is_finished])
def test_a_late_writer_changes_nothing_of_a_finished_row(store: Store, state: OutboxState) -> None:
    """What counts on it, such as that a deposit came to nothing, would count again."""
    number = add(store)
    other = OutboxState.FAILED if state is OutboxState.STABLE else OutboxState.STABLE
    with store.transaction() as books:
        books.outbox.signed(number, UNIT, now=11)
        books.outbox.finished(number, state, now=12)
        before = books.outbox.get(number)
        with pytest.raises(StoreError, match="finished"):
            books.outbox.posted(number, now=13)
        with pytest.raises(StoreError, match="finished"):
            books.outbox.finished(number, other, now=13)
        books.outbox.failed_attempt(number, "no hub", now=13)
        assert books.outbox.get(number) == before
