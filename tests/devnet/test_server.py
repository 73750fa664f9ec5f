"""The wire: hanging up, silence, and units refused on demand."""

from __future__ import annotations

import json
import socket
from threading import Thread

from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from paypercall.devnet import Devnet
from paypercall.obyte.keys import key_from_mnemonic
from tests.devnet.local_channel import (
    PAYEE,
    PAYER,
    pay,
)
from tests.devnet.raw_client import RawClient


def test_a_posted_unit_can_be_refused_on_demand_and_posted_again(client: RawClient, net: Devnet) -> None:
    net.fund(PAYER.address, 100_000)
    net.settle()
    unit = client.compose(PAYER, pay(PAYEE.address))
    net.refuse_next("tps fee too low")
    assert client.request("post_joint", {"unit": unit}) == {"error": "tps fee too low"}
    assert client.request("post_joint", {"unit": unit}) == "accepted"


def test_the_hub_can_hang_up_and_be_called_again(client: RawClient, net: Devnet) -> None:
    client.ask("heartbeat")
    net.hang_up()
    assert client.is_hung_up()
    with RawClient(net) as again:
        assert again.request("get_witnesses") == list(net.network.order_providers)


def test_a_mute_hub_says_nothing_on_an_open_connection(client: RawClient, net: Devnet) -> None:
    client.history(addresses=[PAYER.address])
    client.hear_all()
    net.mute()
    wish = {"address": PAYEE.address, "amount": 1000}
    client.send_text(json.dumps(["request", {"command": "devnet/faucet", "params": wish, "tag": "lost"}]))
    net.fund(PAYER.address, 1000)
    assert client.is_quiet(0.2)
    net.unmute()
    assert net.balance(PAYEE.address) == 0
    assert client.request("get_witnesses") == list(net.network.order_providers)
    assert client.heard == []


def test_the_wallet_of_the_network_can_pay_at_once(client: RawClient, net: Devnet) -> None:
    client.post(key_from_mnemonic(net.mnemonic), pay(PAYEE.address, 10_000))
    assert net.balance(PAYEE.address) == 10_000


def test_a_client_that_says_goodbye_and_stays_on_the_line_does_not_keep_a_network_from_closing() -> None:
    net = Devnet()
    uri = parse_uri(net.url)
    protocol = ClientProtocol(uri)
    with socket.create_connection((uri.host, uri.port), timeout=10) as line:
        protocol.send_request(protocol.connect())
        line.sendall(b"".join(protocol.data_to_send()))
        protocol.receive_data(line.recv(65536))
        protocol.send_close(1000)
        line.sendall(b"".join(protocol.data_to_send()))
        closing = Thread(target=net.close, daemon=True)
        closing.start()
        closing.join(10)
        assert not closing.is_alive()
