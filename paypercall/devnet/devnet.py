"""A whole local network to start and stop: node, witness, hub, faucet and clock behind one object."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Any

from paypercall.devnet.clock import Clock
from paypercall.devnet.faucet import Faucet
from paypercall.devnet.form import Refused
from paypercall.devnet.history import joint_of, response_of
from paypercall.devnet.hub import Hub
from paypercall.devnet.journal import Journal, Story
from paypercall.devnet.ledger import Ledger
from paypercall.devnet.node import Node
from paypercall.devnet.server import Server
from paypercall.devnet.wallets import Purses, Witnesses, compose_genesis
from paypercall.obyte.amounts import BASE
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.network import PRIVATE_VERSION, Network
from paypercall.obyte.network import devnet as devnet_constants

ALT = "3"


class Devnet:
    """A local Obyte network that lives as long as the `with` block, or until `close`.

    Args:
        port: Where the hub listens on 127.0.0.1; 0 for any free port.
        speed: Witnesses units a second; a unit is provable after about four of them.
        data: A folder in which the network survives restarts; None forgets it.
        order_providers: How many write the witness units in turn; the more, the longer until a unit is provable. A
            network that `data` has already keeps its own.

    Raises:
        OSError: The port is taken, or the folder cannot be used.
        JournalError: The folder's network is damaged, or another process runs it.
    """

    def __init__(
        self, port: int = 0, speed: float = 1.0, data: str | Path | None = None, *, order_providers: int = 1
    ) -> None:
        if speed <= 0:
            raise ValueError("the speed must be above 0")
        self._interval = 1 / speed
        self._is_held = False
        self._is_closed = Event()
        self._journal = Journal(None if data is None else Path(data))
        with ExitStack() as undo:
            undo.callback(self._journal.close)
            story = self._journal.read() or self._begin(order_providers)
            self._node = _restore(story, self._journal)
            self._faucet = Faucet(self._node, key_from_mnemonic(story.purses.faucet))
            self._hub = Hub(self._node, self._faucet)
            self._server = Server(self._hub, port)
            undo.pop_all()
        self.mnemonic = story.purses.wallet
        self.url = self._server.url
        self.network: Network = replace(self._node.ledger.network, hub=self.url)
        self._pulse = Thread(target=self._beat, name="devnet-witness", daemon=True)
        self._pulse.start()

    def __enter__(self) -> Devnet:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def is_closed(self) -> bool:
        """Whether it was stopped."""
        return self._is_closed.is_set()

    def close(self) -> None:
        """Stops the network; a second time does nothing."""
        if self.is_closed:
            return
        self._is_closed.set()
        self._pulse.join()
        self._server.close()
        self._journal.close()

    # --- money ----------------------------------------------------------------------------------------

    def fund(self, address: str, amount: int, asset: str = BASE) -> str:
        """Pays an address from the faucet and returns the hash of the unit, which is not stable yet."""
        return self._faucet.fund(address, amount, asset)

    def issue_asset(self, amount: int) -> str:
        """Settles the network, makes a public divisible asset for the faucet and returns its id."""
        return self._faucet.issue_asset(amount)

    # --- time -----------------------------------------------------------------------------------------

    def advance(self, seconds: int) -> None:
        """Moves the network's clock ahead."""
        self._node.advance(seconds)

    def now(self) -> int:
        """The network's time in seconds."""
        return self._node.clock.now()

    def hold(self) -> None:
        """Stops the witness: nothing becomes stable until `release` or `settle`."""
        self._is_held = True

    def release(self) -> None:
        """Lets the witness go on."""
        self._is_held = False

    def settle(self) -> None:
        """Makes everything stable and provable now, with all answers of agents, even while held."""
        self._node.settle()

    def step(self) -> bool:
        """Adds one witness unit, if anything waits for one; tells whether it did."""
        return self._node.step()

    # --- accounting -----------------------------------------------------------------------------------

    def balance(self, address: str, asset: str = BASE) -> int:
        """What an address or agent has, unconfirmed outputs included."""
        with self._node.lock:
            return self._node.ledger.books.balance(address, asset)

    def fees_total(self) -> int:
        """Bytes that all good units together have taken out of circulation."""
        with self._node.lock:
            return self._node.ledger.fees_total()

    def units(self) -> list[dict[str, Any]]:
        """All joints in the order in which the network took them, as `get_joint` gives them."""
        with self._node.lock:
            graph = self._node.ledger.graph
            outlook = graph.outlook()
            return [joint_of(vertex, outlook) for vertex in graph.vertices.values()]

    def sequence(self, unit: str) -> str:
        """Tells whether a unit is `good`, `temp-bad` or `final-bad`.

        Raises:
            KeyError: The network does not know it.
        """
        with self._node.lock:
            return self._node.ledger.graph.vertices[unit].sequence.value

    def responses(self, aa_address: str) -> list[dict[str, Any]]:
        """What an agent answered, the oldest first, with the unit that it sent or None."""
        with self._node.lock:
            answers = self._node.ledger.agents.answers_by_agent.get(aa_address, [])
            return [
                {
                    "trigger_unit": answer.trigger.hash,
                    "bounced": answer.error is not None,
                    "response": response_of(answer),
                    "response_unit": None if answer.response is None else answer.response.unit,
                }
                for answer in answers
            ]

    # --- mishaps --------------------------------------------------------------------------------------

    def favour(self, unit: str) -> None:
        """Lets a unit win against what contradicts it, if it is known before the witness decides."""
        self._node.favour(unit)

    def refuse_next(self, message: str) -> None:
        """Has the next posted unit refused with a message."""
        self._node.refuse_next(message)

    def hang_up(self) -> None:
        """Drops all connections; clients may connect again."""
        self._hub.hang_up()

    def mute(self) -> None:
        """Has the hub lose what it hears and say nothing, on connections that stay open."""
        self._hub.mute()

    def unmute(self) -> None:
        """Lets the hub speak again."""
        self._hub.unmute()

    # --------------------------------------------------------------------------------------------------

    def _begin(self, order_providers: int) -> Story:
        purses = Purses.fresh(order_providers)
        story = Story(purses, compose_genesis(PRIVATE_VERSION, ALT, purses, Clock().now()))
        self._journal.begin(purses, story.genesis)
        return story

    def _beat(self) -> None:
        while not self._is_closed.wait(self._interval):
            if self._is_held:
                continue
            try:
                self._node.step()
            except Refused:
                return  # who broke the change off knows why


def _restore(story: Story, journal: Journal) -> Node:
    witnesses = story.purses.witness_keys()
    addresses = tuple(sorted(key.address for key in witnesses))
    ledger = Ledger(devnet_constants(story.genesis["unit"], addresses, PRIVATE_VERSION, ALT), story.genesis)
    story.replay(ledger)
    node = Node(ledger, Clock(story.ahead), Witnesses(witnesses), journal)
    node.begin()
    return node
