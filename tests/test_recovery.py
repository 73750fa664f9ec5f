"""A wallet is brought back from its words; what a hub says of its channels is believed as far as it proves itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paypercall.client import Client
from paypercall.contract import ChannelParameters
from paypercall.devnet import Devnet
from paypercall.obyte.errors import HubError, InvalidMnemonic, KeyFileError
from paypercall.obyte.hub import Hub
from paypercall.obyte.keys import Key, key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.recovery import restore
from paypercall.server import Server
from paypercall.wiring import WrongBooks
from tests.parties import conf_for, customer_on, parameters_of, pay, wait_until, wait_until_open, wallet_on

PASSPHRASE = "open sesame"


def new_key() -> Key:
    return key_from_mnemonic(new_mnemonic())


@pytest.fixture
def net() -> Iterator[Devnet]:
    with Devnet(speed=20) as net:
        yield net


def test_the_hub_is_asked_first_and_without_an_answer_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hub.request, "__defaults__", (None, 0.2))
    with Devnet() as net:
        conf = conf_for(net, tmp_path)
    with pytest.raises(HubError):
        restore(conf, new_mnemonic())
    assert list(tmp_path.iterdir()) == []


def test_channels_of_others_and_what_is_no_channel_are_left_out(
    net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub may answer with whatever it likes; an agent that nobody opened has nothing to restore."""
    words = new_mnemonic()
    mine = key_from_mnemonic(words).address
    other, third = new_key().address, new_key().address
    answers: list[Any] = [None, 5, [], ["sig", {}], ["autonomous agent", {"base_aa": other, "params": {}}]]
    answers += [
        ChannelParameters(*parties, "base", "salt", 3600).definition
        for parties in ((other, third), (mine, other))
    ]
    monkeypatch.setattr(LightClient, "agents", lambda *_: answers)
    recovered = restore(conf_for(net, tmp_path), words)
    assert (recovered.address, recovered.channels, recovered.is_complete) == (mine, (), True)


@pytest.mark.parametrize("side", ["merchant", "customer"])
def test_channels_that_cannot_be_followed_in_time_are_listed_as_far_as_they_are_known(
    net: Devnet, tmp_path: Path, side: str
) -> None:
    merchant, customer = key_from_mnemonic(words := new_mnemonic()), new_key()
    if side == "customer":
        merchant, customer = customer, merchant
    conf = conf_for(net, tmp_path / "customer")
    with Client(merchant.address, wallet=wallet_on(net, customer), conf=conf) as client:
        client.create_payment_package(1)
        aa_address = client.aa_address
    client.wallet.close()
    net.settle()
    recovered = restore(conf_for(net, tmp_path / "restored"), words, timeout=0)
    assert not recovered.is_complete
    assert [(each.aa_address, each.is_distrusted) for each in recovered.channels] == [(aa_address, True)]


def test_a_channel_is_found_although_dust_makes_its_history_too_large(
    net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merchant, customer = key_from_mnemonic(words := new_mnemonic()), new_key()
    conf = conf_for(net, tmp_path / "customer")
    with Client(merchant.address, wallet=wallet_on(net, customer), conf=conf) as client:
        client.create_payment_package(1)
        aa_address = client.aa_address
    client.wallet.close()
    for _ in range(20):
        net.fund(aa_address, 1)
    net.settle()
    monkeypatch.setattr("paypercall.devnet.history.MAX_ITEMS", 10)
    recovered = restore(conf_for(net, tmp_path / "restored"), words)
    assert [each.aa_address for each in recovered.channels] == [aa_address]


def test_a_real_channel_of_others_is_none_of_this_wallets(
    net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with customer_on(net, tmp_path / "customer", new_key().address) as customer:
        customer.create_payment_package(1)
    customer.wallet.close()
    net.settle()
    definition = parameters_of(net, customer._aa_address or "").definition
    monkeypatch.setattr(LightClient, "agents", lambda *_: [definition])
    assert restore(conf_for(net, tmp_path / "restored"), new_mnemonic(), timeout=5).channels == ()


def test_books_that_are_there_catch_up_with_the_ledger_and_are_trusted(net: Devnet, tmp_path: Path) -> None:
    merchant = key_from_mnemonic(words := new_mnemonic())
    server = Server(wallet=wallet_on(net, merchant), conf=conf_for(net, tmp_path / "merchant"))
    with customer_on(net, tmp_path / "customer", merchant.address) as customer:
        with server:
            pay(customer, server, 10_000)
            wait_until_open(customer, server)
        server.wallet.close()
        customer.create_payment_package(85_000)
        wait_until(lambda: customer.balance().deposited_by_me == 200_000, "the channel is refilled")
    customer.wallet.close()
    recovered = restore(conf_for(net, tmp_path / "merchant"), words)
    (channel,) = recovered.channels
    assert recovered.is_complete
    assert (channel.deposited_by_peer, channel.accepted_from_peer, channel.is_distrusted) == (
        200_000,
        10_000,
        False,
    )


def test_the_key_file_is_encrypted_if_there_is_a_passphrase_and_never_written_twice(
    net: Devnet, tmp_path: Path
) -> None:
    conf, words = conf_for(net, tmp_path), new_mnemonic()
    restore(conf, words, PASSPHRASE)
    before = conf.keys_path.read_text()
    assert words not in before
    (tmp_path / "paypercall.sqlite").unlink()
    with pytest.raises(KeyFileError) as refusal:
        restore(conf, words)
    assert refusal.value.code == "key_file_exists"
    assert conf.keys_path.read_text() == before
    assert not (tmp_path / "paypercall.sqlite").exists()


def test_words_that_are_none_and_books_of_another_wallet_are_refused(net: Devnet, tmp_path: Path) -> None:
    conf = conf_for(net, tmp_path)
    with pytest.raises(InvalidMnemonic) as refusal:
        restore(conf, "abandon")
    assert "PAYPERCALL" not in str(refusal.value)
    restore(conf, new_mnemonic())
    conf.keys_path.unlink()
    with pytest.raises(WrongBooks):
        restore(conf, new_mnemonic())
    assert not conf.keys_path.exists()
