"""What a merchant or a customer does in a process of its own, which kills itself at a given step, as a power cut would.

A step is `before` or `after`, what happens, and to what: "before stored refill" dies when the unit of a refill is
composed, and the transaction that stores it is about to commit.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from operator import attrgetter
from pathlib import Path
from typing import Any

from paypercall.channel import Channel
from paypercall.client import Client
from paypercall.conf import Conf
from paypercall.contract import AgentEvent, Closed, Closing, Opened
from paypercall.errors import PaypercallError
from paypercall.obyte.mnemonics import MNEMONIC_VARIABLE
from paypercall.package import PaymentPackage
from paypercall.party import Party
from paypercall.server import Server
from paypercall.settlement import node, transition
from paypercall.store import Books, OutboxKind, OutboxState, Store, books, channels, outbox, payments

LEASE_SECONDS = 1
UPKEEP_SECONDS = 0.25


@dataclass(frozen=True)
class Orders:
    """Who the party is, and when it dies.

    Attributes:
        settings: Of its conf.
        mnemonic: Its keys.
        peer_address: For a customer, whom it pays; None for a merchant.
        fatal: The step at which it dies, if at all.
        log: Where it logs to.
    """

    settings: dict[str, Any]
    mnemonic: str
    peer_address: str | None
    fatal: str | None
    log: Path


@dataclass(frozen=True)
class Call:
    """A call of one of the party's methods, or of one of what it gives, such as `funds.send`."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Refused:
    """What a call gives that was refused."""

    code: str
    why: str


def die() -> None:
    """Ends the process at once; nothing is flushed, closed or given back."""
    logging.getLogger("paypercall").info("dies")
    os.kill(os.getpid(), signal.SIGKILL)


class Steps:
    """Watches the books' transactions, and dies around the commit of the one that does a certain thing.

    Args:
        fatal: When to die, e.g. "after posted close"; None means never.
    """

    def __init__(self, fatal: str | None) -> None:
        self._fatal = fatal
        self._thread = threading.local()

    def begin(self) -> None:
        """Begins to take notes of this thread's next transaction."""
        self._thread.done = set()

    def note(self, what: str, to: str) -> None:
        """Notes what the transaction under way does."""
        self._thread.done.add(f"{what} {to}")

    def pass_by(self, when: str) -> None:
        """Dies here if this is the step."""
        if any(self._fatal == f"{when} {done}" for done in self._thread.done):
            die()


def watch(steps: Steps) -> None:
    """Has every transaction of this process report to `steps`."""
    really_transact = books.Store.transaction

    @contextmanager
    def transaction(self: Store) -> Iterator[Books]:
        with really_transact(self) as opened:
            steps.begin()
            yield opened
            steps.pass_by("before")
        steps.pass_by("after")

    books.Store.transaction = transaction  # type: ignore[method-assign]
    _watch_outbox(steps)
    _watch_answers(steps)
    _watch_packages(steps)


def _watch_outbox(steps: Steps) -> None:
    def decided(_self: outbox.Outbox, kind: OutboxKind, **_: Any) -> None:
        steps.note("decided", kind.value)

    def reached(what: str) -> Callable[..., None]:
        def note(self: outbox.Outbox, outbox_id: int, *_: Any) -> None:
            row = self.get(outbox_id)
            assert row is not None
            steps.note(what, row.kind.value)

        return note

    def finished(
        self: outbox.Outbox, outbox_id: int, state: OutboxState, _now: int, won: str | None = None
    ) -> None:
        reached(state.value)(self, outbox_id)

    _follow(outbox.Outbox, "add", decided)
    _follow(outbox.Outbox, "signed", reached("stored"))
    _follow(outbox.Outbox, "posted", reached("posted"))
    _follow(outbox.Outbox, "finished", finished)


def _watch_answers(steps: Steps) -> None:
    really_apply = transition.Transition._apply

    def apply(self: transition.Transition, channel: Channel, answer: Any) -> Channel:
        after = really_apply(self, channel, answer)
        kind = _kind_of(answer.event, channel.my_address)
        mine = {row.kind for row in self._books.outbox.of_period(channel.aa_address, channel.period)}
        if kind in mine and after.last_event_id > channel.last_event_id:
            steps.note("answered", kind.value)
        return after

    transition.Transition._apply = apply  # type: ignore[method-assign]


def _kind_of(event: AgentEvent, my_address: str) -> OutboxKind | None:
    """What this party sent, if it is what the agent answers here."""
    match event:
        case Opened(event_id=number):
            return OutboxKind.OPEN if number == 1 else OutboxKind.REFILL
        case Closing(initiated_by=closer):
            return OutboxKind.CLOSE if closer == my_address else None
        case Closed(is_fraud_proven=is_fraud_proven):
            return OutboxKind.FRAUD_PROOF if is_fraud_proven else OutboxKind.CONFIRM
    return None


def _watch_packages(steps: Steps) -> None:
    def accepted(_self: payments.Payments, _package: PaymentPackage, *_: Any) -> None:
        steps.note("accepted", "package")

    def saved(_self: channels.Channels, before: Channel, after: Channel) -> None:
        if after.signed_by_me > before.signed_by_me:
            steps.note("signed", "package")

    _follow(payments.Payments, "add", accepted)
    _follow(channels.Channels, "save", saved)


def _follow(owner: type, name: str, note: Callable[..., None]) -> None:
    """Has `note` called after each call of a method, with the same arguments."""
    method = getattr(owner, name)

    def followed(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        note(*args, **kwargs)
        return result

    setattr(owner, name, followed)


def hurry() -> None:
    """Shortens what only makes a test wait."""
    assert node.Node.__init__.__kwdefaults__ is not None
    node.Node.__init__.__kwdefaults__["lease_seconds"] = LEASE_SECONDS
    node.UPKEEP_SECONDS = UPKEEP_SECONDS  # type: ignore[assignment]


def open_party(orders: Orders) -> Party:
    """A customer of the peer or, without one, a merchant."""
    os.environ[MNEMONIC_VARIABLE] = orders.mnemonic
    conf = Conf.from_settings(orders.settings)
    return Server(conf=conf) if orders.peer_address is None else Client(orders.peer_address, conf=conf)


def answer(party: Party, call: Call) -> Any:
    """Makes one call; what it refuses is its result."""
    try:
        return attrgetter(call.name)(party)(**call.arguments)
    except PaypercallError as error:
        return Refused(error.code, str(error))


def live(orders: Orders, calls: Connection) -> None:
    """The process's life: it answers calls until there is nobody left to make any, or it dies."""
    logging.basicConfig(filename=orders.log, format="%(asctime)s %(threadName)s %(message)s")
    logging.getLogger("paypercall").setLevel(logging.INFO)
    hurry()
    watch(Steps(orders.fatal))
    with open_party(orders) as party, suppress(EOFError):
        while True:
            calls.send(answer(party, calls.recv()))
