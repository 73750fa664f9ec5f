"""The commands `devnet`, which runs a local Obyte network, and `faucet`, which gives money on one.

The faucet asks the hub of a running devnet, as any client would: no real hub knows the request.
"""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from paypercall.cli.arguments import add_amount, add_asset, number
from paypercall.errors import PaypercallError

if TYPE_CHECKING:
    from paypercall.devnet import Devnet

PORT = 6616  # next to 6611, where Obyte's own nodes listen
HIGHEST_PORT = 65_535
SPEEDS = (0.01, 1000.0)
FAUCET_SECONDS = 5.0


class DevnetFailed(PaypercallError):
    """The local network cannot start."""

    code = "devnet_failed"


class InvalidAddress(PaypercallError):
    """An address is mistyped."""

    code = "invalid_address"


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the commands `devnet` and `faucet`."""
    devnet = commands.add_parser(
        "devnet",
        help="run a local Obyte network",
        description="Runs a local Obyte network on 127.0.0.1 until it is stopped with Ctrl-C or SIGTERM.",
    )
    speed, port = number(float, *SPEEDS), number(int, 0, HIGHEST_PORT)
    devnet.add_argument(
        "--speed", type=speed, default=1.0, help="steps a second; about four make a unit final"
    )
    devnet.add_argument(
        "--port", type=port, default=PORT, help="of the hub (%(default)s); 0 for any free one"
    )
    devnet.add_argument(
        "--data", type=Path, help="a folder to keep the network in; without it, it is forgotten"
    )
    devnet.set_defaults(run=run_devnet)

    faucet = commands.add_parser(
        "faucet",
        help="get money on a local Obyte network",
        description="Pays an address on a running devnet.",
    )
    faucet.add_argument("address", metavar="ADDRESS", help="whom to pay")
    add_amount(faucet)
    add_asset(faucet, "an asset of the faucet")
    faucet.add_argument("--hub", default=f"ws://127.0.0.1:{PORT}", help="the devnet's hub (%(default)s)")
    faucet.set_defaults(run=run_faucet)


def run_devnet(options: argparse.Namespace) -> int:
    """Runs a local network until SIGINT or SIGTERM.

    Raises:
        DevnetFailed: The port is taken, or the folder cannot be used.
    """
    from paypercall.devnet import Devnet

    endings = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(
        signal.SIG_BLOCK, endings
    )  # before any thread starts: they must not take them either
    try:
        devnet = Devnet(port=options.port, speed=options.speed, data=options.data)
    except (OSError, ValueError) as error:
        raise DevnetFailed(f"the devnet cannot start: {error}") from error
    with devnet:
        print("\n".join(_describe(devnet)), flush=True)
        signal.sigwait(endings)
    return 0


def run_faucet(options: argparse.Namespace) -> int:
    """Pays an address from the faucet of a running devnet.

    Raises:
        InvalidAddress: What is to be paid is no address.
        HubError: The hub cannot be reached, or refuses.
    """
    from paypercall.obyte.address import is_valid_address
    from paypercall.obyte.hub import Hub
    from paypercall.obyte.network import devnet

    if not is_valid_address(options.address):
        raise InvalidAddress(f"{options.address} is no address")
    hub = Hub(options.hub, devnet(genesis_unit="", order_providers=()), program="paypercall-faucet")
    wish = {"address": options.address, "amount": options.amount, "asset": options.asset}
    try:
        print(hub.request("devnet/faucet", wish, timeout=FAUCET_SECONDS))
    finally:
        hub.close()
    return 0


def _describe(devnet: Devnet) -> Iterator[str]:
    network = devnet.network
    yield f"A local Obyte network runs at {devnet.url}; stop it with Ctrl-C."
    yield ""
    constants = {
        "network": network.name,
        "hub": devnet.url,
        "genesis_unit": network.genesis_unit,
        "order_providers": list(network.order_providers),
        "version": network.version,
        "alt": network.alt,
    }
    yield "# for conf.py"
    yield from (f"{name} = {json.dumps(value)}" for name, value in constants.items())
    yield ""
    yield "# or for .env"
    for name, value in constants.items():
        yield f"PAYPERCALL_{name.upper()}={value if isinstance(value, str) else json.dumps(value)}"
    yield ""
    yield "# for .env: a wallet with money, for one side; for the other, run `paypercall faucet ADDRESS AMOUNT`"
    yield f'PAYPERCALL_MNEMONIC="{devnet.mnemonic}"'
