"""Subscribing to what happens to one's channels."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from threading import Thread

import pytest

from paypercall.events import Event, EventKind, Events

RECEIVED = Event(EventKind.PAYMENT_RECEIVED, "AGENT", 1, "base", 40_000)
CLOSED = Event(EventKind.CLOSED, "AGENT", 1, "base", unit="unit")


@pytest.mark.parametrize("kind", list(EventKind))
def test_a_subscriber_gets_the_events_of_its_kind_and_no_others(kind: EventKind) -> None:
    events, seen = Events(), []
    events.subscribe(kind, seen.append)
    for each in EventKind:
        events.publish(Event(each, "AGENT", 1, "base"))
    events.flush(10)
    assert [event.kind for event in seen] == [kind]


def test_the_kinds_have_the_names_that_the_documentation_gives() -> None:
    assert {kind.value for kind in EventKind} == {
        "channel_created",
        "payment_received",
        "deposit_confirmed",
        "deposit_refused",
        "refilled",
        "closing",
        "closed",
        "fraud_proved",
        "receipt_disputed",
        "refund_missing",
    }


def test_a_kind_may_be_given_by_its_name() -> None:
    events, seen = Events(), []
    events.subscribe("payment_received", seen.append)
    events.publish(RECEIVED)
    events.flush(10)
    assert seen == [RECEIVED]


@pytest.mark.parametrize("kind", ["payment", "", "CLOSED", None, 5])
def test_an_unknown_kind_is_an_error(kind: object) -> None:
    with pytest.raises(ValueError, match="not a valid"):
        Events().subscribe(kind, lambda event: None)  # type: ignore[arg-type]


def test_all_subscribers_are_called_in_the_order_in_which_they_came() -> None:
    events, seen = Events(), []
    for name in ("first", "second", "third"):
        events.subscribe(EventKind.CLOSED, lambda event, name=name: seen.append(name))
    events.publish(CLOSED)
    events.flush(10)
    assert seen == ["first", "second", "third"]


def test_one_that_has_left_is_called_no_more_and_may_leave_twice() -> None:
    events, seen = Events(), []
    leave = events.subscribe(EventKind.CLOSED, seen.append)
    events.subscribe(EventKind.CLOSED, seen.append)
    leave()
    leave()
    events.publish(CLOSED)
    events.flush(10)
    assert seen == [CLOSED]


def test_one_that_comes_or_leaves_before_an_event_is_delivered_misses_it() -> None:
    events, seen = Events(), []
    hanging = threading.Event()
    events.subscribe(EventKind.CLOSED, lambda event: hanging.wait(10))
    leave = events.subscribe(EventKind.CLOSED, seen.append)
    events.publish(CLOSED)
    leave()
    events.subscribe(EventKind.CLOSED, seen.append)
    hanging.set()
    events.flush(10)
    assert seen == []


def test_a_subscriber_that_fails_is_logged_and_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(event: Event) -> None:
        raise RuntimeError("my own fault")

    events, seen = Events(), []
    events.subscribe(EventKind.CLOSED, fail)
    events.subscribe(EventKind.CLOSED, seen.append)
    with caplog.at_level(logging.ERROR, logger="paypercall"):
        events.publish(CLOSED)
        events.flush(10)
    assert seen == [CLOSED]
    (record,) = caplog.records
    assert "closed" in record.getMessage()
    assert record.exc_info is not None


def test_a_subscriber_may_subscribe_leave_and_publish_while_it_is_called() -> None:
    events, seen = Events(), []
    leaving: list[Callable[[], None]] = []

    def busy(event: Event) -> None:
        leaving[0]()
        events.subscribe(EventKind.CLOSED, seen.append)
        events.publish(RECEIVED)

    leaving.append(events.subscribe(EventKind.CLOSED, busy))
    events.subscribe(EventKind.PAYMENT_RECEIVED, seen.append)
    events.publish(CLOSED)
    events.flush(10)
    events.publish(CLOSED)
    events.flush(10)
    assert seen == [RECEIVED, CLOSED]


def test_whoever_publishes_does_not_wait_for_a_subscriber_that_hangs() -> None:
    events, seen = Events(), []
    hanging = threading.Event()
    events.subscribe(EventKind.CLOSED, lambda event: hanging.wait(10))
    events.subscribe(EventKind.PAYMENT_RECEIVED, seen.append)
    events.publish(CLOSED)
    events.publish(RECEIVED)
    assert not hanging.is_set() and seen == []
    hanging.set()
    events.flush(10)
    assert seen == [RECEIVED]


def test_all_events_are_delivered_in_the_order_in_which_they_were_published() -> None:
    events, seen = Events(), []
    for kind in (EventKind.PAYMENT_RECEIVED, EventKind.CLOSED):
        events.subscribe(kind, seen.append)
    published = [
        dataclasses.replace(event, amount=number) for number in range(100) for event in (RECEIVED, CLOSED)
    ]
    for event in published:
        events.publish(event)
    events.flush(10)
    assert seen == published


def test_publishing_to_nobody_does_nothing() -> None:
    Events().publish(CLOSED)


def test_many_threads_may_publish_and_subscribe_at_once() -> None:
    events, seen = Events(), []
    events.subscribe(EventKind.PAYMENT_RECEIVED, seen.append)

    def work() -> None:
        for _ in range(200):
            events.subscribe(EventKind.PAYMENT_RECEIVED, lambda event: None)()
            events.publish(RECEIVED)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events.flush(10)
    assert len(seen) == 800


def test_an_event_cannot_be_changed_and_carries_no_package() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        RECEIVED.amount = 5  # type: ignore[misc]
    assert {field.name for field in dataclasses.fields(Event)} == {
        "kind",
        "aa_address",
        "period",
        "asset",
        "amount",
        "unit",
    }
