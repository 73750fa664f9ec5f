"""Subscribers of a host: they are told of everything, and nothing waits for them."""

from __future__ import annotations

import threading
import time

from paypercall.channel import Status
from paypercall.client import Client
from paypercall.events import Event
from paypercall.server import Server
from tests.parties import pay, wait_until, wait_until_open


def threads_that_tell() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "paypercall-events"]


def test_a_subscriber_that_hangs_keeps_neither_a_payment_nor_the_answer_to_a_close_waiting(
    merchant: Server, customer: Client
) -> None:
    told: list[Event] = []
    leave = threading.Event()
    merchant.subscribe("channel_created", lambda event: leave.wait(60))
    for kind in ("payment_received", "deposit_confirmed", "closing", "closed"):
        merchant.subscribe(kind, told.append)
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    customer.close()
    wait_until(lambda: len(merchant.settled_periods()) == 1, "the merchant answers the close")
    assert told == []
    leave.set()
    wait_until(lambda: len(told) == 4, "the host is told of everything")
    order = [event.kind.value for event in told if event.kind.value != "payment_received"]
    assert order == ["deposit_confirmed", "closing", "closed"]


def test_subscribers_are_told_of_what_was_before_the_node_is_closed_and_may_still_call(
    merchant: Server, customer: Client
) -> None:
    seen: list[tuple[int, Status]] = []

    def look(event: Event) -> None:
        time.sleep(0.2)
        (channel,) = merchant.channels()
        seen.append((event.amount, channel.status))

    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    merchant.subscribe("payment_received", look)
    for amount in (100, 200, 300):
        pay(customer, merchant, amount)
    merchant.close_node()
    assert seen == [(100, Status.OPEN), (200, Status.OPEN), (300, Status.OPEN)]
    assert threads_that_tell() == []


def test_a_subscriber_that_hangs_does_not_keep_the_node_from_closing(
    merchant: Server, customer: Client
) -> None:
    told: list[Event] = []
    leave = threading.Event()
    merchant.subscribe("payment_received", lambda event: leave.wait(60))
    merchant.subscribe("payment_received", told.append)
    pay(customer, merchant, 10_000)
    closing = threading.Thread(target=merchant.close_node)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()
    assert told == []
    leave.set()
    wait_until(lambda: len(told) == 1, "what waits is told in the end")
    wait_until(lambda: threads_that_tell() == [], "the thread ends by itself")
