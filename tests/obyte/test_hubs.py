"""Three hubs of one network, each behind a faulty line: one that works is found, whatever the others do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from paypercall.devnet import Devnet
from paypercall.obyte.composer import Output
from paypercall.obyte.errors import HubError, ProofError
from paypercall.obyte.hub import Hub
from paypercall.obyte.hubs import Hubs
from paypercall.obyte.keys import Key, key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.obyte.proof import History
from paypercall.obyte.wallet import Wallet
from tests.hub_proxy import HubProxy
from tests.parties import wait_until
from tests.settlement.faults import HISTORY, USELESS

PAYEE = Key(b"\x11" * 32).address
WITHOUT_HISTORY = ["is silent", "hangs up", "proves nothing", "refuses to serve"]

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture(scope="module")
def net() -> Iterator[Devnet]:
    with Devnet(speed=20) as net:
        yield net


@pytest.fixture
def lines(net: Devnet) -> Iterator[list[HubProxy]]:
    with ExitStack() as stack:
        yield [stack.enter_context(HubProxy(net.url)) for _ in range(3)]


@pytest.fixture
def connections(net: Devnet, lines: list[HubProxy]) -> Iterator[list[Hub]]:
    with ExitStack() as stack:
        yield [stack.enter_context(closing(Hub(line.url, net.network))) for line in lines]


@pytest.fixture
def light(net: Devnet, connections: list[Hub]) -> LightClient:
    return LightClient(connections[0], net.network, others=connections[1:])


@pytest.fixture
def key(net: Devnet) -> Key:
    """Of an address with a single coin."""
    key = key_from_mnemonic(new_mnemonic())
    net.fund(key.address, 100_000)
    net.settle()
    return key


def ask(light: LightClient, key: Key) -> History | None:
    """Asks once, as a node does: only where there is a connection."""
    if not light.find_connection():
        return None
    try:
        return light.history([key.address])
    except (HubError, ProofError):
        return None


def hub_that_serves(light: LightClient, key: Key) -> str:
    """Asks again and again until a hub shows the coin; tells which one that is."""
    histories: list[History] = []

    def is_served() -> bool:
        history = ask(light, key)
        if history is None:
            time.sleep(0.02)
            return False
        histories.append(history)
        return True

    wait_until(is_served, "a hub serves")
    [unit] = histories[0].units
    assert unit.is_stable
    return light.session.hub


def test_a_hub_of_another_network_is_left_for_the_next_and_the_log_says_why(
    net: Devnet, lines: list[HubProxy], key: Key, caplog: pytest.LogCaptureFixture
) -> None:
    with Devnet() as another, ExitStack() as stack:
        hubs = [stack.enter_context(closing(Hub(url, net.network))) for url in (another.url, lines[0].url)]
        begins = f"is on another network, which does not begin with the unit {net.network.genesis_unit}"
        with pytest.raises(HubError) as error:
            LightClient(hubs[0], net.network).history([key.address])
        assert str(error.value) == f"{another.url} {begins}"
        assert hub_that_serves(LightClient(hubs[0], net.network, others=hubs[1:]), key) == lines[0].url
        assert f"going on from {another.url} to {lines[0].url}: {error.value}" in caplog.text


def test_a_hub_is_asked_for_the_first_unit_once_in_each_connection(
    net: Devnet, lines: list[HubProxy], connections: list[Hub], key: Key
) -> None:
    hub = connections[0]
    light = LightClient(hub, net.network)
    for _ in range(2):
        for _ in range(3):
            light.history([key.address])
        light.parents([key.address], [key.address])
        count = hub.connections
        assert lines[0].requests("get_joint") == [net.network.genesis_unit] * count
        lines[0].hang_up()
        wait_until(lambda count=count: hub.connections > count, "there is a new connection")


def connect_all(hubs: Hubs, connections: list[Hub]) -> None:
    hubs.find_connection()
    wait_until(lambda: all(hub.is_connected for hub in connections), "all are connected")


@pytest.mark.parametrize("how", WITHOUT_HISTORY)
def test_a_hub_that_is_of_no_use_is_left_for_the_next(
    lines: list[HubProxy], light: LightClient, key: Key, how: str
) -> None:
    assert hub_that_serves(light, key) == lines[0].url
    with lines[0].fault(USELESS[how]):
        lines[0].hang_up()
        assert hub_that_serves(light, key) in {lines[1].url, lines[2].url}


@pytest.mark.parametrize("works", range(3))
@pytest.mark.parametrize(("how", "how_too"), [WITHOUT_HISTORY[:2], WITHOUT_HISTORY[1:3], WITHOUT_HISTORY[2:]])
def test_the_only_one_of_three_hubs_that_works_is_found(
    lines: list[HubProxy], light: LightClient, key: Key, how: str, how_too: str, works: int
) -> None:
    broken = [line for number, line in enumerate(lines) if number != works]
    with broken[0].fault(USELESS[how]), broken[1].fault(USELESS[how_too]):
        assert hub_that_serves(light, key) == lines[works].url


@pytest.mark.parametrize("there", range(3))
def test_the_only_one_of_three_hubs_that_is_there_is_found(net: Devnet, key: Key, there: int) -> None:
    with HubProxy(net.url) as gone, HubProxy(net.url) as gone_too:
        urls = [gone.url, gone_too.url]
    urls.insert(there, net.url)
    hub, *others = (Hub(url, net.network) for url in urls)
    with closing(LightClient(hub, net.network, others=others)) as light:
        assert hub_that_serves(light, key) == net.url


def test_a_hub_that_is_connected_is_preferred_to_one_that_is_not(
    lines: list[HubProxy],
    light: LightClient,
    connections: list[Hub],
    key: Key,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Once it has hung up it stays away, and is not connected for a moment just when it matters.
    monkeypatch.setattr("paypercall.obyte.hub.FIRST_RETRY_SECONDS", 30)
    monkeypatch.setattr("paypercall.obyte.hub.LAST_RETRY_SECONDS", 30)
    with lines[1].fault(USELESS["hangs up"]), lines[0].fault(USELESS["refuses to serve"]):
        light.find_connection()
        wait_until(lambda: connections[0].is_connected and connections[2].is_connected, "two are connected")
        wait_until(lambda: not connections[1].is_connected, "the second one has hung up")
        assert ask(light, key) is None
        assert light.session.hub == lines[2].url


def test_when_no_hub_is_of_use_the_log_says_so_with_all_reasons_and_a_repaired_one_is_found(
    lines: list[HubProxy], light: LightClient, key: Key, caplog: pytest.LogCaptureFixture
) -> None:
    def is_said() -> bool:
        ask(light, key)
        return "none of the 3 hubs is of use" in caplog.text

    hows = ["hangs up", "refuses to serve", "proves nothing"]
    with ExitStack() as stack:
        for line, how in zip(lines, hows, strict=True):
            stack.enter_context(line.fault(USELESS[how]))
        wait_until(is_said, "no hub is of use")
    [told, *_] = [record for record in caplog.records if "none of the 3 hubs" in record.getMessage()]
    assert told.levelname == "ERROR"
    assert all(line.url in told.getMessage() for line in lines)
    assert "we are catching up" in told.getMessage()
    assert hub_that_serves(light, key) in {line.url for line in lines}


def test_faults_of_all_hubs_at_different_times_are_no_failure_of_all(
    lines: list[HubProxy], light: LightClient, key: Key, caplog: pytest.LogCaptureFixture
) -> None:
    for line in (*lines, *lines):
        with line.fault(USELESS["refuses to serve"]):
            assert hub_that_serves(light, key) != line.url
    assert "none of the" not in caplog.text


def test_a_repaired_hub_is_asked_again_when_the_others_break(
    lines: list[HubProxy], light: LightClient, key: Key
) -> None:
    with lines[0].fault(USELESS["proves nothing"]):
        assert hub_that_serves(light, key) != lines[0].url
    with lines[1].fault(USELESS["is silent"]), lines[2].fault(USELESS["hangs up"]):
        lines[2].hang_up()
        assert hub_that_serves(light, key) == lines[0].url


def test_a_unit_that_two_of_three_hubs_refuse_is_posted_to_the_third(
    net: Devnet, lines: list[HubProxy], light: LightClient, key: Key
) -> None:
    wallet = Wallet(key, light, max_tps_fee=20_000)
    wallet.refresh()
    with lines[0].fault(USELESS["takes no units"]), lines[1].fault(USELESS["takes no units"]):
        unit = wallet.pay([Output(PAYEE, 1_000)])
    net.settle()
    assert net.sequence(unit["unit"]) == "good"


def test_every_other_hub_that_is_connected_has_its_turn(
    lines: list[HubProxy], connections: list[Hub]
) -> None:
    hubs = Hubs(connections)
    connect_all(hubs, connections)
    _, second, third = connections
    assert turns(hubs, 4) == [second, third, second, third]
    with lines[1].fault(USELESS["hangs up"]):
        lines[1].hang_up()
        wait_until(lambda: not second.is_connected, "the second one has hung up")
        assert turns(hubs, 2) == [third, third]


def turns(hubs: Hubs, count: int) -> list[Hub | None]:
    """The other hubs of so many turns, each asked for twice."""
    found: list[Hub | None] = []
    for _ in range(count):
        found.append(hubs.find_other())
        assert hubs.find_other() is found[-1]
        hubs.go_on_to_next_other()
    return found


def test_another_hub_that_rests_is_passed_over_and_keeps_no_other_from_its_turn(
    connections: list[Hub],
) -> None:
    hubs = Hubs(connections)
    connect_all(hubs, connections)
    _, second, third = connections
    hubs.let_rest(second, 60)
    assert turns(hubs, 2) == [third, third]
    hubs.let_rest(third, 60)
    assert turns(hubs, 2) == [None, None]
    hubs.let_rest(second, 0)
    assert turns(hubs, 2) == [second, second]


def test_a_hub_is_given_time_to_connect_from_its_first_use_on(connections: list[Hub]) -> None:
    hubs = Hubs(connections)
    for hub in connections:
        hub.unconnected_since -= 60  # it was made a minute ago
    hubs._current_since -= 60
    hubs.find_connection()
    assert hubs.current is connections[0]


def test_a_single_hub_is_never_left(net: Devnet, lines: list[HubProxy], key: Key) -> None:
    with closing(LightClient(Hub(lines[0].url, net.network), net.network)) as light:
        with lines[0].fault(USELESS["refuses to serve"]):
            wait_until(light.find_connection, "it is connected")
            assert ask(light, key) is None
            assert lines[0].requests(HISTORY)
        assert hub_that_serves(light, key) == lines[0].url
