"""Packages that wait for what the ledger may show: only so many at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from paypercall.contract import ChannelParameters
from paypercall.devnet import Devnet
from paypercall.obyte.amounts import BASE
from paypercall.results import Payment
from paypercall.server import MAX_UNKNOWN_WAITING, Server
from tests.parties import conf_for, wait_until, wallet_on
from tests.two_sides import CUSTOMER, signed_package


def test_of_packages_that_announce_nothing_real_only_a_few_keep_the_hosts_threads_waiting(
    net: Devnet, tmp_path: Path
) -> None:
    conf = conf_for(net, tmp_path / "merchant")
    merchant = Server(wallet=wallet_on(net), conf=conf, ledger_timeout=30)

    def verify(number: int) -> Payment:
        channel = ChannelParameters(merchant.address, CUSTOMER.address, BASE, f"salt {number}", 3600)
        version = net.network.version
        package = signed_package(1_000, parameters=channel, announce=channel, version=version)
        return merchant.verify_payment_package(package)

    with ThreadPoolExecutor(MAX_UNKNOWN_WAITING) as pool, merchant:
        waiting = [pool.submit(verify, number) for number in range(MAX_UNKNOWN_WAITING)]
        wait_until(lambda: merchant._unknown_waiting._free._value == 0, "as many wait as may")
        assert verify(MAX_UNKNOWN_WAITING).code == "too_many_waiting"
        assert not any(each.done() for each in waiting)
    merchant.wallet.close()
