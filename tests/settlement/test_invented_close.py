"""A close that the peer has signed and only one hub shows: it is on no ledger, and answering it is worth little."""

from __future__ import annotations

from pathlib import Path

import pytest

from paypercall.contract import close_draft
from paypercall.devnet import Devnet
from tests.hub_proxy import HubProxy, in_response
from tests.parties import wait_until
from tests.settlement.faults import PARENTS, commands, inventing, units_of
from tests.settlement.test_closing import parameters_of
from tests.settlement.test_never_blind import customer_through, merchant_through, proxy, wait_until_won

__all__ = ["proxy"]

DEAR = 60_000
"""Less than what is at stake, and more than any ordinary unit may cost."""


@pytest.mark.usefixtures("impatient")
def test_a_fraud_proof_costs_no_more_than_any_unit_until_the_lie_is_proven_to_be_on_the_ledger(
    net: Devnet, proxy: HubProxy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        merchant_through(net, tmp_path, proxy.url) as merchant,
        customer_through(net, tmp_path, merchant, net.url) as customer,
    ):
        lie = close_draft(
            parameters_of(net, customer.aa_address), period=1, transferred_from_me=0, sent_by_peer=None
        )
        unit = customer.wallet.compose(lie)
        with proxy.fault(in_response(PARENTS, lambda parents: {**parents, "tps_fee": DEAR})):
            with proxy.fault(inventing({"unit": {**unit, "main_chain_index": None}})):
                net.fund(merchant.address, 1)
                wait_until(lambda: merchant.channels()[0].is_frozen, "the lie is seen")
                wait_until(
                    lambda: "could not send fraud_proof" in caplog.text, "its proof is too dear as yet"
                )
                net.settle()
                assert commands(net, merchant) == []
            customer.wallet.post(unit)
            wait_until_won(merchant)
        assert [sent["tps_fee"] for sent in units_of(net, merchant)] == [DEAR]
