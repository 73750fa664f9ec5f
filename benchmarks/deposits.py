"""(d) the local network: its start, and deposits of many wallets until all of them are stable."""

from __future__ import annotations

import secrets
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.result import Result
from paypercall.contract import ChannelParameters, deposit_draft
from paypercall.devnet import Devnet
from paypercall.obyte.amounts import BASE
from paypercall.obyte.hub import Hub
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.obyte.wallet import Wallet

WALLETS = 50
DEPOSITS_EACH = 4
AMOUNT = 20_000
LIMIT_SECONDS = 60.0
STARTS = 10
START_LIMIT_SECONDS = 0.5


def stabilise() -> Result:
    """Seconds until 200 deposits of 50 wallets to 50 agents are all stable and answered."""
    payee = key_from_mnemonic(new_mnemonic()).address
    with Devnet(speed=5) as net:
        wallets = [_wallet(net) for _ in range(WALLETS)]
        for wallet in wallets:
            net.fund(wallet.address, 1_000_000)
        net.settle()
        started = time.monotonic()
        with ThreadPoolExecutor(10) as threads:
            agents = list(threads.map(lambda wallet: _deposit(wallet, payee), wallets))
        while not all(len(net.responses(agent)) == DEPOSITS_EACH for agent in agents):
            assert time.monotonic() - started < 5 * LIMIT_SECONDS, "the deposits become stable"
            time.sleep(0.1)
        taken = time.monotonic() - started
        assert not any(answer["bounced"] for agent in agents for answer in net.responses(agent))
        for wallet in wallets:
            wallet.close()
    return Result("200 deposits of 50 wallets, stable", taken, LIMIT_SECONDS, "s")


def start() -> Result:
    """Seconds until a local network is there, the median of ten."""
    taken = []
    for _ in range(STARTS):
        started = time.monotonic()
        with Devnet():
            taken.append(time.monotonic() - started)
    return Result("local network, started", statistics.median(taken), START_LIMIT_SECONDS, "s")


def _wallet(net: Devnet) -> Wallet:
    hub = Hub(net.url, net.network)
    return Wallet(key_from_mnemonic(new_mnemonic()), LightClient(hub, net.network), max_tps_fee=100_000)


def _deposit(wallet: Wallet, payee: str) -> str:
    """Makes the deposits of one wallet to one agent and returns the agent's address."""
    wallet.refresh()
    parameters = ChannelParameters(payee, wallet.address, BASE, secrets.token_hex(10), 21_600)
    for number in range(DEPOSITS_EACH):
        draft = deposit_draft(parameters, AMOUNT, with_definition=number == 0)
        wallet.post(wallet.compose(draft))
    return parameters.aa_address
