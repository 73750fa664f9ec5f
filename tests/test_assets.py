"""Which assets a channel can hold, by how they were defined, and that both sides ask before they use one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paypercall.assets import require_usable_asset
from paypercall.contract import ChannelParameters
from paypercall.devnet import Devnet
from paypercall.errors import Refusal
from paypercall.obyte.unit import payload_hash, unit_hash
from paypercall.package import compose_package
from tests.obyte.test_light import ScriptedHub, asset_joint, client
from tests.parties import customer_on, merchant_on
from tests.two_sides import CUSTOMER

UNKNOWN = "A" * 43 + "="


def require(**changes: Any) -> None:
    """Asks about an asset whose recorded definition is changed, with hashes that fit."""
    unit = asset_joint()["unit"]
    definition = unit["messages"][0]
    definition["payload"].update(changes)
    definition["payload_hash"] = payload_hash(definition["payload"])
    unit["unit"] = unit_hash(unit)
    require_usable_asset(unit["unit"], client(ScriptedHub({"joint": {"unit": unit}})))


def test_bytes_and_assets_whose_transfer_nobody_can_hinder_are_usable() -> None:
    require()
    require(issued_by_definer_only=False)
    require_usable_asset("base", client(ScriptedHub()))


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"is_private": True}, "is_private is True"),
        ({"is_transferrable": False}, "is_transferrable is False"),
        ({"fixed_denominations": True}, "fixed_denominations is True"),
        ({"auto_destroy": True}, "auto_destroy is True"),
        ({"cosigned_by_definer": True}, "cosigned_by_definer is True"),
        ({"spender_attested": True, "attestors": [CUSTOMER.address]}, "spender_attested is True"),
        (
            {"transfer_condition": ["and", [["age", [">", 5]], ["age", ["<", 9]]]]},
            "its transfer is restricted",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value.partition(" ")[2],
)
def test_an_asset_that_the_agent_could_not_pay_out_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refusal, match=reason) as refusal:
        require(**changes)
    assert refusal.value.code == "wrong_asset"


def test_an_asset_that_the_ledger_does_not_know_is_refused() -> None:
    with pytest.raises(Refusal, match="not known to the ledger") as refusal:
        require_usable_asset(UNKNOWN, client(ScriptedHub({"joint_not_found": UNKNOWN})))
    assert refusal.value.code == "wrong_asset"


def test_neither_side_uses_an_asset_that_is_accepted_but_unusable(tmp_path: Path) -> None:
    """A merchant would watch an agent for nothing, and a customer would lock its money in one."""
    accepted = {
        "accepted_assets": ["base", UNKNOWN],
        "max_unsettled_by_channel": {UNKNOWN: 1_000},
        "max_unsettled_by_asset": {UNKNOWN: 1_000},
        "cost_of_sweep_by_asset": {UNKNOWN: 1},
    }
    with Devnet(speed=20) as net, merchant_on(net, tmp_path / "merchant", **accepted) as merchant:
        channel = ChannelParameters(merchant.address, CUSTOMER.address, UNKNOWN, "a salt", 3600)
        package = compose_package(
            CUSTOMER,
            net.network.version,
            aa_address=channel.aa_address,
            period=1,
            payment_amount=5,
            amount_spent=5,
            announce=channel,
        )
        payment = merchant.verify_payment_package(package)
        assert payment.code == "wrong_asset", payment
        assert "not known to the ledger" in str(payment.error)
        with merchant._store.reading() as books:
            assert books.announced.all() == []
        with customer_on(
            net,
            tmp_path / "customer",
            merchant.address,
            asset=UNKNOWN,
            deposit_amount=100,
            refill_threshold=0,
        ) as customer:
            with pytest.raises(Refusal, match="not known to the ledger"):
                customer.create_payment_package(1, timeout=5)
            with customer._store.reading() as books:
                assert books.outbox.unfinished() == []
        customer.wallet.close()
    merchant.wallet.close()
