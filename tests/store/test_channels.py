"""Channels are loaded as they were saved, the totals are their sums, and what is due is found without a scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from paypercall.channel import (
    Channel,
    Decision,
    Freeze,
    PendingClose,
    Status,
    distrust,
    distrust_current_period,
)
from paypercall.costs import SWEEPING_COST
from paypercall.store import Refill, Store, StoreError
from paypercall.store.statements import Connection, Statement
from tests.store.samples import ASSET, CUSTOMER, PAYEE, channel, paid, parameters, unconfirmed

FROZEN = Freeze(Decision.CLOSE, 1, 2)

numbers = count(1)

amounts = st.integers(0, 999_999_999_999_999)
states = st.builds(
    channel,
    salt=st.builds(lambda: f"salt {next(numbers)}"),
    asset=st.sampled_from(["base", ASSET]),
    period=amounts,
    status=st.sampled_from(Status),
    last_event_id=amounts,
    known_event_id=amounts,
    deposited_by_me=amounts,
    deposited_by_peer=amounts,
    signed_by_me=amounts,
    signed_by_peer=amounts,
    accepted_from_peer=amounts,
    last_package=st.none()
    | st.text(st.characters(codec="ascii"), max_size=50).map(lambda text: text.replace("\0", "")),
    is_known_by_peer=st.booleans(),
    signs_from_period=amounts,
    written_off=amounts,
    freeze=st.none() | st.builds(Freeze, st.sampled_from(Decision), amounts, amounts),
    pending_close=st.none() | st.builds(PendingClose, st.booleans(), amounts, amounts, amounts),
)


def add(store: Store, *channels: Channel) -> None:
    with store.transaction() as books:
        for each in channels:
            assert books.channels.add(each, created_at=1)


def salts(records: Sequence[Any]) -> list[str]:
    return [record.channel.parameters.salt for record in records]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40)
@given(st.lists(states, min_size=2, max_size=4))
def test_any_state_is_loaded_as_it_was_saved_and_the_totals_are_the_sums(
    store: Store, chain: list[Channel]
) -> None:
    first = chain[0]
    chain = [replace(each, parameters=first.parameters) for each in chain]
    with store.transaction() as books:
        assert books.channels.add(first, created_at=1)
    for before, after in pairwise(chain):
        with store.transaction() as books:
            record = books.channels.lock(first.aa_address)
            assert record is not None
            assert record.channel == before
            books.channels.save(record.channel, after)
    with store.reading() as books:
        record = books.channels.get(first.aa_address)
        assert record is not None
        assert record.channel == chain[-1]
        channels = [record.channel for record in books.channels.records(PAYEE)]
        for asset in ("base", ASSET):
            of_asset = [each for each in channels if each.parameters.asset == asset]
            assert books.totals.exposure(asset, since=0) == sum(each.counted_exposure for each in of_asset)
            assert books.totals.unsettled(asset) == sum(each.unsettled for each in of_asset)


def test_a_new_channel_is_added_once(store: Store) -> None:
    with store.transaction() as books:
        assert books.channels.add(channel(), created_at=5, refill=Refill(100, 20))
        assert not books.channels.add(channel(period=2), created_at=6)
    with store.reading() as books:
        record = books.channels.get(channel().aa_address)
    assert record is not None
    assert record.channel == channel()
    assert (record.created_at, record.refill, record.opened_at) == (5, Refill(100, 20), None)


def test_an_unknown_channel_is_none(store: Store) -> None:
    with store.transaction() as books:
        assert books.channels.lock(PAYEE) is None
        assert books.channels.get(PAYEE) is None


def test_a_channel_that_was_not_locked_is_not_saved(store: Store) -> None:
    add(store, channel())
    with store.transaction() as books:
        record = books.channels.get(channel().aa_address)
        assert record is not None
        with pytest.raises(StoreError, match="not locked"):
            books.channels.save(record.channel, replace(record.channel, signed_by_me=5))


def test_a_stale_state_is_not_saved_over_a_newer_one(store: Store) -> None:
    add(store, channel())
    with store.transaction() as books:
        assert books.channels.lock(channel().aa_address) is not None
        books.channels.save(channel(), channel(signed_by_me=5))
        with pytest.raises(StoreError) as caught:
            books.channels.save(channel(), channel(signed_by_me=3))
        assert caught.value.code == "not_locked"
    with store.reading() as books:
        record = books.channels.get(channel().aa_address)
    assert record is not None
    assert record.channel.signed_by_me == 5


def test_saving_the_same_state_changes_nothing(store: Store) -> None:
    add(store, paid("salt", 4))
    with store.transaction() as books:
        record = books.channels.lock(channel().aa_address)
        assert record is not None
        books.channels.save(record.channel, record.channel)
        books.channels.save(record.channel, replace(record.channel))
        assert books.channels.get(channel().aa_address) == record
        assert books.totals.unsettled("base") == 4


def test_a_channel_is_not_saved_as_another_one(store: Store) -> None:
    add(store, channel())
    with store.transaction() as books:
        books.channels.lock(channel().aa_address)
        with pytest.raises(ValueError, match="another one"):
            books.channels.save(channel(), channel("other"))


def test_a_number_that_does_not_fit_is_a_clear_error(store: Store) -> None:
    with pytest.raises(StoreError, match="the database failed"):
        add(store, channel(signed_by_peer=2**63))
    with store.reading() as books:
        assert books.channels.addresses(PAYEE) == []


def test_a_record_says_whether_a_unit_to_the_agent_is_unanswered(store: Store) -> None:
    add(store, channel(), channel("other"))
    with store.transaction() as books:
        books.unconfirmed.see(channel().aa_address, unconfirmed(1))
        record, other = (
            books.channels.lock(channel().aa_address),
            books.channels.get(channel("other").aa_address),
        )
    assert record is not None
    assert record.has_unconfirmed
    assert other is not None
    assert not other.has_unconfirmed


def test_what_is_kept_beside_the_state_can_be_set(store: Store) -> None:
    add(store, channel())
    aa_address = channel().aa_address
    with store.transaction() as books:
        books.channels.set_refill(aa_address, Refill(7, 3))
        books.channels.set_opened_at(aa_address, 50)
    with store.reading() as books:
        record = books.channels.get(aa_address)
    assert record is not None
    assert (record.refill, record.opened_at) == (Refill(7, 3), 50)
    with store.transaction() as books:
        books.channels.set_refill(aa_address, None)
        books.channels.set_opened_at(aa_address, None)
        record = books.channels.get(aa_address)
    assert record is not None
    assert (record.refill, record.opened_at) == (None, None)


def test_channels_between_two_parties_come_the_newest_first(store: Store) -> None:
    with store.transaction() as books:
        for salt, created_at in (("old", 1), ("new", 3), ("middle", 2)):
            books.channels.add(channel(salt), created_at=created_at)
        books.channels.add(channel("asset", asset=ASSET), created_at=4)
    with store.reading() as books:
        assert salts(books.channels.between(PAYEE, CUSTOMER, "base")) == ["new", "middle", "old"]
        assert salts(books.channels.between(PAYEE, CUSTOMER, ASSET)) == ["asset"]
        assert books.channels.between(CUSTOMER, PAYEE, "base") == []


def test_all_channels_come_batch_by_batch_in_the_order_of_their_addresses(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, *(channel(str(number)) for number in range(450)))
    with store.reading() as books:
        addresses = books.channels.addresses(PAYEE)
        assert addresses == sorted(channel(str(number)).aa_address for number in range(450))
        assert [record.channel.aa_address for record in books.channels.records(PAYEE)] == addresses
        assert list(books.channels.records(CUSTOMER)) == []


def test_channels_of_one_status_are_found_and_counted(store: Store) -> None:
    add(
        store,
        channel("open"),
        channel("closing", status=Status.CLOSING),
        channel("closed", status=Status.CLOSED),
    )
    with store.reading() as books:
        for status in Status:
            assert salts(list(books.channels.records(PAYEE, status=status))) == [status.value]
        assert books.channels.count_not_closed() == 2


def test_what_is_at_stake_is_counted_and_summed_by_asset_where_it_is_little_and_not_closed(
    store: Store,
) -> None:
    def at_stake(asset: str = "base") -> tuple[int, int, int]:
        with store.reading() as books:
            return books.channels.count_at_stake(), *books.channels.sum_at_stake(asset, below=100)

    add(
        store,
        channel("nothing", deposited_by_peer=500),
        paid("refunded", 9, signed_by_me=9),
        channel("not served", signed_by_peer=9),
    )
    assert at_stake() == (0, 0, 0)
    add(store, paid("little", 30, signed_by_me=10))
    assert at_stake() == (1, 20, 1)
    add(store, paid("much", 100), channel("mine", deposited_by_me=7, signed_by_me=7))
    assert at_stake() == (3, 27, 2)
    add(store, paid("closing", 5, status=Status.CLOSING), paid("closed", 5, status=Status.CLOSED))
    assert at_stake() == (4, 32, 3)
    add(store, paid("asset", 99, ASSET), channel("no asset", asset=ASSET))
    assert at_stake() == (5, 32, 3)
    assert at_stake(ASSET) == (5, 99, 1)
    # It is all that a customer has.
    add(store, Channel(parameters("customer's"), CUSTOMER, status=Status.OPEN, deposited_by_me=1))
    assert at_stake() == (6, 32, 3)


def test_the_channels_that_opened_first_are_due_for_a_sweep(store: Store) -> None:
    add(store, *(paid(salt, 20_000) for salt in ("late", "early", "now", "never opened")))
    add(store, paid("frozen", 20_000, freeze=FROZEN))
    add(store, paid("closed", 20_000, status=Status.CLOSED))
    with store.transaction() as books:
        opened = {"late": 20, "early": 10, "now": 30, "frozen": 10, "closed": 10}
        for salt, opened_at in opened.items():
            books.channels.set_opened_at(channel(salt).aa_address, opened_at)
    with store.reading() as books:
        assert salts(books.channels.due_for_sweep("base", 0, opened_before=30, limit=10)) == ["early", "late"]
        assert salts(books.channels.due_for_sweep("base", 0, opened_before=30, limit=1)) == ["early"]


def test_what_cannot_be_swept_or_is_not_worth_it_takes_no_others_place(store: Store) -> None:
    """Distrusted channels, which only their peers can close, and those that a sweep costs more than it brings."""
    due = [paid("base", 20_000), paid("asset", 9, ASSET), paid("little asset", 8, ASSET)]
    others = [paid(f"distrusted {n}", 90_000, signs_from_period=2) for n in range(3)]
    others += [paid(f"small {n}", SWEEPING_COST) for n in range(3)]
    add(store, *due, *others)
    with store.transaction() as books:
        for one in (*due, *others):
            books.channels.set_opened_at(one.aa_address, 10)
    with store.reading() as books:
        assert salts(books.channels.due_for_sweep("base", SWEEPING_COST, 30, 2)) == ["base"]
        assert len(books.channels.due_for_sweep("base", SWEEPING_COST - 1, 30, 2)) == 2
        assert salts(books.channels.due_for_sweep(ASSET, 8, 30, 2)) == ["asset"]
        assert salts(books.channels.above_unsettled("base", SWEEPING_COST, 1)) == ["base"]
        assert books.channels.sum_to_sweep("base", SWEEPING_COST) == 20_000
        assert books.channels.sum_unsettled("base", SWEEPING_COST) == 290_000


def test_the_channels_with_the_most_unsettled_come_first(store: Store) -> None:
    add(store, paid("5", 5), paid("9", 9), channel("0"))
    add(
        store,
        paid("frozen", 9, freeze=FROZEN),
        paid("asset", 9, ASSET),
    )
    with store.reading() as books:
        assert salts(books.channels.above_unsettled("base", 0, 10)) == ["9", "5"]
        assert salts(books.channels.above_unsettled("base", 0, 1)) == ["9"]
        assert salts(books.channels.above_unsettled("base", 5, 10)) == ["9"]


def test_what_is_unsettled_is_summed_over_the_channels_with_more_than_an_amount(store: Store) -> None:
    add(store, *(paid(str(number), number) for number in (5, 9)))
    add(
        store,
        paid("frozen", 20, freeze=FROZEN),
        paid("asset", 40, ASSET),
    )
    with store.reading() as books:
        assert [books.channels.sum_unsettled("base", least) for least in (0, 4, 5, 20)] == [34, 34, 29, 0]
        assert books.channels.sum_unsettled(ASSET, 0) == 40


def test_channels_that_are_closing_or_about_to_close_are_found(store: Store) -> None:
    add(store, channel("open"), channel("closing", status=Status.CLOSING), channel("frozen", freeze=FROZEN))
    with store.reading() as books:
        assert sorted(salts(books.channels.closing(PAYEE))) == ["closing", "frozen"]
        assert books.channels.closing(CUSTOMER) == []


def test_channels_of_which_no_period_is_safe_are_found(store: Store) -> None:
    add(
        store,
        channel("trusted"),
        distrust(channel("wholly")),
        distrust_current_period(channel("until the next period")),
    )
    with store.reading() as books:
        assert salts(books.channels.wholly_distrusted(PAYEE)) == ["wholly"]
        assert books.channels.wholly_distrusted(CUSTOMER) == []


def test_channels_that_are_filled_up_are_found(store: Store) -> None:
    add(store, channel("not"))
    with store.transaction() as books:
        books.channels.add(channel("refilled"), created_at=1, refill=Refill(100, 0))
    with store.reading() as books:
        assert salts(books.channels.with_refill(PAYEE)) == ["refilled"]
        assert books.channels.with_refill(CUSTOMER) == []


def due_statements(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[Statement, Mapping[str, Any]]]:
    """The statements by which a node and a client find what is due, when nothing is."""
    found: list[tuple[Statement, Mapping[str, Any]]] = []
    run = Connection._run

    def noting(connection: Connection, statement: Statement, values: Mapping[str, Any]) -> None:
        found.append((statement, values))
        run(connection, statement, values)

    with store.reading() as books, monkeypatch.context() as patched:
        patched.setattr(Connection, "_run", noting)
        books.channels.between(PAYEE, CUSTOMER, "base")
        books.channels.added_since(PAYEE, 5)
        books.channels.count_opened_since(5, at_most=5)
        books.channels.due_for_sweep("base", 5, 5, 5)
        books.channels.above_unsettled("base", 5, 5)
        books.channels.sum_unsettled("base", 5)
        books.channels.sum_to_sweep("base", 5)
        books.channels.with_refill(PAYEE)
        books.channels.closing(PAYEE)
        books.channels.wholly_distrusted(PAYEE)
        next(books.channels.records(PAYEE))
        next(books.channels.records(PAYEE, status=Status.OPEN))
        books.unconfirmed.of(channel().aa_address)
        books.unconfirmed.channels()
        books.outbox.unfinished()
        books.deposits.overdue(5)
    return found


def test_what_is_due_is_found_with_the_same_work_among_few_and_many_channels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work: list[dict[str, int]] = []
    for count_of_channels in (300, 3_000):
        path = tmp_path / f"{count_of_channels}.sqlite"
        store = Store(f"sqlite:///{path}")
        add(store, *(with_peer(number) for number in range(count_of_channels)))
        statements = due_statements(store, monkeypatch)
        store.close()
        work.append({})
        engine = create_engine(f"sqlite:///{path}", paramstyle="named")
        with engine.connect() as connection:
            steps = count()
            driver = connection.connection.driver_connection
            assert driver is not None
            # Each step of SQLite's virtual machine counts.
            driver.set_progress_handler(lambda steps=steps: next(steps) < 0, 1)
            for statement, values in statements:
                text, constants = statement.text_for(engine.dialect)
                before = next(steps)
                connection.exec_driver_sql(text, {**constants, **values}).all()
                work[-1][text] = next(steps) - before
        engine.dispose()
    few, many = work
    assert len(few) == 16
    assert many == {text: pytest.approx(steps, rel=0.02, abs=5) for text, steps in few.items()}


def with_peer(number: int) -> Channel:
    """A channel with a peer of its own."""
    parameters = channel().parameters
    return replace(channel(), parameters=replace(parameters, address_b=f"{number:032d}"))


def test_only_channels_that_opened_lately_and_are_not_closed_are_counted(store: Store) -> None:
    opened = {"before": 10, "then": 20, "later": 30, "closing": 20, "closed": 20}
    add(store, channel("before"), channel("then"), channel("later"), channel("never opened"))
    add(store, channel("closing", status=Status.CLOSING), channel("closed", status=Status.CLOSED))
    with store.transaction() as books:
        for salt, opened_at in opened.items():
            books.channels.set_opened_at(channel(salt).aa_address, opened_at)
    with store.reading() as books:
        assert books.channels.count_opened_since(20, at_most=10) == 3
        assert books.channels.count_opened_since(20, at_most=2) == 2
