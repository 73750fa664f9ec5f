"""Brings a wallet back from its mnemonic: its keys, and its channels as far as the ledger tells of them.

The ledger does not tell what this wallet signed, nor what its peers signed last. So every channel is taken up in
restore mode: nothing is signed in it or closed before its next period; until then the node only confirms the peer's
close.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass

from paypercall.balances import balances_of_all
from paypercall.channel import NEVER, Channel
from paypercall.conf import Conf
from paypercall.contract import BASE_AGENTS, ChannelParameters, read_definition, read_response
from paypercall.obyte.errors import KeyFileError
from paypercall.obyte.key_file import KeyFile
from paypercall.obyte.light import LightClient
from paypercall.obyte.mnemonics import MNEMONIC_VARIABLE, check_mnemonic
from paypercall.obyte.proof import HistoryUnit
from paypercall.obyte.wallet import Wallet
from paypercall.results import ChannelBalance
from paypercall.settlement.discovery import add_forgotten
from paypercall.settlement.node import Node, wall_clock
from paypercall.store import Store
from paypercall.wiring import events_of, make_node, open_store, open_wallet

FOLLOWING_SECONDS = 60.0
"""How long to wait until the node has taken up what the ledger shows of the channels."""

STOPPING_SECONDS = 2.0
"""How long to wait for what the node is asking its hub, before it hangs up on it."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A wallet that is back.

    Attributes:
        address: Its address.
        channels: All channels in its books, by address.
        is_complete: Whether they stand as the ledger shows them; else the node has yet to catch up.
    """

    address: str
    channels: tuple[ChannelBalance, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class _Found:
    """A channel that the ledger shows, with the number of the agent's last answer."""

    parameters: ChannelParameters
    last_event_id: int


def restore(
    conf: Conf, mnemonic: str, passphrase: str | None = None, timeout: float = FOLLOWING_SECONDS
) -> Recovered:
    """Writes the key file, and takes the wallet's channels up into the books.

    Books of the same wallet that are there already are kept, with all that they remember.

    Args:
        conf: The settings.
        mnemonic: The wallet's words.
        passphrase: What to encrypt the key file with; None leaves it plain.
        timeout: Seconds to wait for the node to follow the channels, once they are known.

    Raises:
        KeyFileError: There is a key file already (`key_file_exists`), or it cannot be written.
        InvalidMnemonic: The words are no mnemonic.
        HubError: The hub did not answer, or refused. Nothing was written.
        ProofError: Its answer does not prove what it must. Nothing was written.
        WrongBooks: The database belongs to another wallet or network.
    """
    file = KeyFile(conf.keys_path, conf.network_constants().name)
    require_no(file)
    check_mnemonic(mnemonic)
    with closing(open_wallet(conf, {MNEMONIC_VARIABLE: mnemonic})) as wallet:
        found = _find_channels(wallet.light, wallet.address)
        with closing(open_store(conf, wallet)) as store:
            _take_up(store, wallet.address, found)
            if not file.create(mnemonic, passphrase):
                require_no(file)
            node = make_node(conf, store, wallet, events_of(store, wallet))
            try:
                is_complete = _follow(node, store, found, timeout)
            finally:
                if not node.stop(STOPPING_SECONDS):
                    wallet.close()
                    node.stop()
            return Recovered(wallet.address, _channels_in(store, wallet), is_complete)


def require_no(file: KeyFile) -> None:
    """Checks that there is no key file, so that none is overwritten.

    Raises:
        KeyFileError: There is one, with `key_file_exists`.
    """
    if file.exists():
        raise KeyFileError(
            f"{file.path} is there already and was left as it is: move it away first", code="key_file_exists"
        )


def _find_channels(light: LightClient, my_address: str) -> list[_Found]:
    """Asks the hub for the channels of an address on either side; those that never opened are left out."""
    definitions = [
        definition
        for side in ("addressA", "addressB")
        for definition in light.agents(BASE_AGENTS.values(), {side: my_address})
    ]
    channels = {
        parameters.aa_address: parameters
        for parameters in map(read_definition, definitions)
        if parameters and my_address in (parameters.address_a, parameters.address_b)
    }
    last_events: dict[str, int] = {}
    for entry in _units_of(light, channels):
        author = entry.unit["authors"][0]["address"]
        event = (
            read_response(channels[author], entry.unit) if author in channels and entry.is_stable else None
        )
        if event is not None:
            last_events[author] = max(last_events.get(author, 0), event.event_id)
    return [_Found(channels[aa_address], number) for aa_address, number in sorted(last_events.items())]


def _units_of(light: LightClient, channels: Iterable[str]) -> list[HistoryUnit]:
    """What a hub shows of channels; where there is too much of an agent, what it has answered."""
    history = light.history(channels)
    units = [unit for agent in sorted(history.too_large) for unit in light.agent_answers(agent).units]
    return [*history.units, *light.history([], requested_units=units).units]


def _take_up(store: Store, my_address: str, found: Iterable[_Found]) -> None:
    with store.transaction() as books:
        for each in found:
            add_forgotten(books, Channel(each.parameters, my_address), wall_clock())


def _follow(node: Node, store: Store, found: list[_Found], timeout: float) -> bool:
    """Runs the node until the channels stand as the ledger shows them; says whether they do."""
    deadline = time.monotonic() + timeout
    node.start()
    while not (is_complete := _is_up_to_date(store, found)) and time.monotonic() < deadline:
        node.wait_for_change(deadline - time.monotonic())
    return is_complete


def _is_up_to_date(store: Store, found: Iterable[_Found]) -> bool:
    with store.reading() as books:
        records = [(each, books.channels.get(each.parameters.aa_address)) for each in found]
        has_looked = books.node.health().synced_at is not None
    return has_looked and all(
        record is not None
        and record.channel.last_event_id >= each.last_event_id
        and record.channel.signs_from_period != NEVER
        for each, record in records
    )


def _channels_in(store: Store, wallet: Wallet) -> tuple[ChannelBalance, ...]:
    with store.reading() as books:
        return tuple(balances_of_all(books, wallet.address))
