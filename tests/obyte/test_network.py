"""The networks' constants."""

from __future__ import annotations

import pytest

from paypercall.obyte.address import is_valid_address, is_valid_base64
from paypercall.obyte.network import LIVENET, TESTNET, Network, devnet
from paypercall.obyte.unit import unit_hash
from tests.vectors import load_cases


@pytest.mark.parametrize("network", [LIVENET, TESTNET])
def test_a_public_network_has_twelve_valid_sorted_order_providers(network: Network) -> None:
    assert all(map(is_valid_address, network.order_providers))
    assert list(network.order_providers) == sorted(set(network.order_providers))
    assert len(network.order_providers) == 12
    assert network.majority_of_order_providers == 7


@pytest.mark.parametrize("network", [LIVENET, TESTNET])
def test_a_public_network_has_a_genesis_unit_and_a_hub(network: Network) -> None:
    assert is_valid_base64(network.genesis_unit, 44)
    assert network.hub is not None
    assert network.hub.startswith("wss://")


def test_livenet_begins_with_the_real_genesis_unit() -> None:
    units = [case["unit"] for case in load_cases("unit_hash.json", "unit") if case.get("real")]
    genesis = next(unit for unit in units if unit.get("unit") == LIVENET.genesis_unit)
    assert unit_hash(genesis) == LIVENET.genesis_unit
    assert (genesis["alt"], LIVENET.version) == (LIVENET.alt, "4.0")


def test_the_networks_differ_in_all_that_keeps_them_apart() -> None:
    local = devnet("genesis", ("provider",))
    for attribute in ("name", "version", "alt", "genesis_unit", "order_providers"):
        assert len({getattr(network, attribute) for network in (LIVENET, TESTNET, local)}) == 3


@pytest.mark.parametrize("count, majority", [(1, 1), (2, 2), (3, 2), (12, 7)])
def test_a_majority_is_more_than_half(count: int, majority: int) -> None:
    network = devnet("genesis", tuple(f"provider {number}" for number in range(count)))
    assert network.majority_of_order_providers == majority


def test_a_private_network_can_have_its_own_version_and_hub() -> None:
    network = devnet("genesis", ("provider",), version="4.0t", alt="2", hub="ws://127.0.0.1:6611")
    assert (network.version, network.alt, network.hub) == ("4.0t", "2", "ws://127.0.0.1:6611")
