"""A merchant or a customer in a process of its own, which the test can call, doom to die at a step, and start again."""

from __future__ import annotations

import multiprocessing
import os
import signal
from copy import copy
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import TracebackType
from typing import Any

from paypercall.devnet import Devnet
from paypercall.obyte.keys import Key, key_from_mnemonic
from paypercall.obyte.mnemonics import new_mnemonic
from tests import crashing_party
from tests.crashing_party import Call, Orders
from tests.parties import conf_for, settings_for

SECONDS = 30
KILLED = -9

# Each process begins as a copy of one that has no threads and has imported everything, so that it starts at once.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["pytest", crashing_party.__name__])


class Died(Exception):
    """The process died before it answered."""


class PartyProcess:
    """A party with keys and books of its own; see `tests.crashing_party.py`.

    Args:
        net: The network.
        folder: Where it keeps its books.
        peer_address: For a customer, whom it pays; None for a merchant.
        funds: Bytes that its wallet gets.
    """

    def __init__(
        self, net: Devnet, folder: Path, peer_address: str | None = None, *, funds: int = 1_000_000
    ) -> None:
        self._mnemonic = new_mnemonic()
        self._settings = settings_for(net, folder)
        self._peer_address = peer_address
        self._process: ForkServerProcess | None = None
        self._calls: Connection | None = None
        self.key: Key = key_from_mnemonic(self._mnemonic)
        self.folder = folder
        self.database_url = conf_for(net, folder).database_url
        net.fund(self.key.address, funds)
        net.settle()

    @property
    def address(self) -> str:
        """The wallet's."""
        return self.key.address

    def sibling(self) -> PartyProcess:
        """Another process of the same party, with the same keys and books; not started."""
        other = copy(self)
        other._process = other._calls = None
        return other

    def start(self, fatal: str | None = None) -> None:
        """Starts the process, after it has died or in place of the one that runs; it dies at the step `fatal`."""
        self.stop()
        orders = Orders(self._settings, self._mnemonic, self._peer_address, fatal, self.folder / "log.txt")
        self._calls, theirs = _processes.Pipe()
        self._process = _processes.Process(target=crashing_party.live, args=(orders, theirs))
        self._process.start()
        theirs.close()

    def call(self, name: str, **arguments: Any) -> Any:
        """Makes one call.

        Raises:
            Died: When the process dies before it has answered.
        """
        assert self._calls is not None
        try:
            self._calls.send(Call(name, arguments))
            return self._calls.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise Died from None

    def wait_for_death(self) -> None:
        """Waits until the process has been killed.

        Raises:
            AssertionError: When it lives on, or ended in another way.
        """
        assert self._process is not None
        self._process.join(SECONDS)
        assert self._process.exitcode == KILLED, f"{self._process.exitcode}; see {self.folder}/log.txt"

    def kill(self) -> None:
        """Kills it now."""
        assert self._process is not None
        self._process.kill()
        self.wait_for_death()

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, e.g. to hold the process up for a while."""
        assert self._process is not None and self._process.pid is not None
        os.kill(self._process.pid, number)

    def stop(self) -> None:
        """Closes the party, if it lives, and waits for its process to end."""
        process, self._process = self._process, None
        if process is None:
            return
        assert self._calls is not None
        self._calls.close()
        process.join(SECONDS)
        code = process.exitcode
        process.kill()
        process.join()
        process.close()
        assert code in (0, KILLED), f"{code}; see {self.folder}/log.txt"

    def __enter__(self) -> PartyProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
