"""A local network with several order providers: a majority of them proves what is final, as on the public networks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from paypercall.devnet import Devnet
from paypercall.obyte.errors import ProofError
from paypercall.obyte.hub import Hub
from paypercall.obyte.keys import Key
from paypercall.obyte.light import LightClient
from paypercall.obyte.network import Network
from paypercall.obyte.proof import verify_history
from tests.devnet.raw_client import RawClient
from tests.parties import customer_on, merchant_on, pay, wait_until, wait_until_open

PAYEE = Key(b"\x07" * 32).address
HISTORY = "light/get_history"


@pytest.fixture(params=[2, 3, 12])
def net(request: pytest.FixtureRequest) -> Iterator[Devnet]:
    with Devnet(speed=50, order_providers=request.param) as net:
        yield net


@pytest.fixture
def net_of_three() -> Iterator[Devnet]:
    with Devnet(speed=50, order_providers=3) as net:
        yield net


def test_a_unit_is_proven_by_a_majority_and_the_order_providers_write_in_turn(net: Devnet) -> None:
    unit = net.fund(PAYEE, 1_000)
    net.settle()
    with closing(LightClient(Hub(net.url, net.network), net.network)) as light:
        assert light.order_providers() == frozenset(net.network.order_providers)
        [entry] = light.history([PAYEE]).units
    assert (entry.hash, entry.is_stable) == (unit, True)
    authors = [joint["unit"]["authors"][0]["address"] for joint in net.units()]
    written = [author for author in authors if author in net.network.order_providers]
    count = len(net.network.order_providers)
    assert all(
        set(written[at : at + count]) == set(net.network.order_providers)
        for at in range(len(written) - count)
    )


def test_with_three_as_many_units_prove_a_payment_as_on_the_real_network(net_of_three: Devnet) -> None:
    """The notes of the recorded networks: six later units of order providers, where a single one needs three."""
    assert [_units_until_proven(net_of_three)] == [6]
    with Devnet(speed=50) as net:
        assert _units_until_proven(net) == 3


def _units_until_proven(net: Devnet) -> int:
    net.settle()
    net.hold()
    net.fund(PAYEE, 1_000)
    with closing(LightClient(Hub(net.url, net.network), net.network)) as light:
        for steps in range(1, 20):
            net.step()
            if all(entry.is_stable for entry in light.history([PAYEE]).units):
                return steps
    raise AssertionError("never")


def test_when_the_clock_was_moved_a_majority_tells_the_time(net: Devnet) -> None:
    """Nobody believes a minority, and a quiet network would say nothing else."""
    net.fund(PAYEE, 1_000)
    net.settle()
    net.advance(10_000)
    net.settle()
    with closing(LightClient(Hub(net.url, net.network), net.network)) as light:
        told = light.history([PAYEE]).time
    assert told is not None and abs(told - net.now()) < 100


def test_fewer_than_a_majority_prove_nothing(net_of_three: Devnet) -> None:
    net_of_three.fund(PAYEE, 1_000)
    net_of_three.settle()
    providers = list(net_of_three.network.order_providers)
    with RawClient(net_of_three) as line:
        history = line.request(HISTORY, {"witnesses": providers, "addresses": [PAYEE]})
    strangers = tuple(Key(bytes([number]) * 32).address for number in range(1, 3))
    one_left = Network(
        "devnet", "4.0dev", "3", net_of_three.network.genesis_unit, (providers[0], *strangers), None
    )
    with pytest.raises(ProofError):
        verify_history(history, one_left)
    assert verify_history(history, net_of_three.network).units[0].is_stable


def test_a_merchant_and_a_customer_settle_a_period(net: Devnet, tmp_path: Path) -> None:
    with (
        merchant_on(net, tmp_path / "merchant") as merchant,
        customer_on(net, tmp_path / "customer", merchant.address) as customer,
    ):
        pay(customer, merchant, 40_000)
        wait_until_open(customer, merchant)
        customer.close()
        for party in (merchant, customer):
            wait_until(lambda party=party: len(party.settled_periods()) == 1, "the period has ended")
        assert merchant.settled_periods()[0].accepted_from_peer == 40_000
        merchant.wallet.close()
        customer.wallet.close()


def test_the_network_goes_on_with_the_same_order_providers_after_a_restart(tmp_path: Path) -> None:
    with Devnet(speed=50, data=tmp_path, order_providers=3) as net:
        first = net.network
        net.fund(PAYEE, 1_000)
        net.settle()
    with Devnet(speed=50, data=tmp_path) as net:
        assert net.network.order_providers == first.order_providers
        net.fund(PAYEE, 1_000)
        net.settle()
        with closing(LightClient(Hub(net.url, net.network), net.network)) as light:
            assert [entry.is_stable for entry in light.history([PAYEE]).units] == [True, True]
