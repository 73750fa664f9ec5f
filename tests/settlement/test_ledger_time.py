"""Time-outs run on the ledger's time, which is not one hub's word."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from paypercall.channel import Status
from paypercall.devnet import Devnet
from tests.hub_proxy import Arrival, Fault, Frame, HubProxy
from tests.parties import wait_until
from tests.settlement.faults import PARENTS, commands
from tests.settlement.test_never_blind import customer_through, merchant_through, proxy

__all__ = ["proxy"]


def clock_ahead(seconds: int) -> Fault:
    """The hub says that the ledger is ahead of its time, to whoever asks only for the time, and composes nothing."""
    tags = set()

    def fault(frame: Frame) -> Sequence[Arrival] | None:
        if frame.name != PARENTS:
            return None
        if not frame.is_from_hub:
            if frame.body["params"]["from_addresses"] == frame.body["params"]["output_addresses"]:
                tags.add(frame.body["tag"])
            return None
        if frame.body["tag"] not in tags:
            return None
        parents = frame.body["response"]
        return [frame.with_body(response={**parents, "timestamp": parents["timestamp"] + seconds})]

    return fault


@pytest.mark.usefixtures("impatient")
def test_a_hub_whose_clock_is_ahead_has_nothing_confirmed_too_early(
    net: Devnet, proxy: HubProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paypercall.settlement.node.UPKEEP_SECONDS", 0.2)
    with (
        merchant_through(net, tmp_path, proxy.url) as merchant,
        customer_through(net, tmp_path, merchant, net.url) as customer,
    ):
        customer.close_node()
        with proxy.fault(clock_ahead(10**6)):
            merchant.close(customer.aa_address or "")
            wait_until(lambda: merchant.channels()[0].status is Status.CLOSING, "the close is taken")
            time.sleep(2)
            assert commands(net, merchant) == ["close"]
            net.advance(3_600)
            net.fund(merchant.address, 1)
            wait_until(lambda: len(merchant.settled_periods()) == 1, "it is confirmed after the timeout")
        assert commands(net, merchant) == ["close", "confirm"]
