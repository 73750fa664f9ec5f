"""The async twins do all that the classes do whose names they have: a channel's whole life, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from paypercall.asynchronous import AsyncClient, AsyncServer
from paypercall.channel import Status
from paypercall.client import Client
from paypercall.close_request import check_close_request
from paypercall.devnet import Devnet
from paypercall.events import Event
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.server import Server
from tests.parties import conf_for, wallet_on

SECONDS = 20


async def wait_until(is_true: Callable[[], Awaitable[bool]]) -> None:
    async def wait() -> None:
        while not await is_true():
            await asyncio.sleep(0.05)

    await asyncio.wait_for(wait(), SECONDS)


async def pay(customer: AsyncClient, merchant: AsyncServer, period: int) -> str:
    """Pays 20,000 and gets 1,000 back, and waits until both see the channel open; returns its address."""
    package = await customer.createPaymentPackage(20_000, f"call {period}")
    assert await customer.create_payment_package(20_000, f"call {period}") == package
    payment = await merchant.verifyPaymentPackage(package, asset="base", min_amount=20_000)
    assert (payment.error, payment.amount, payment.period) == (None, 20_000, period)
    assert payment.aa_address is not None and payment.aa_address == customer.aa_address
    refund = await merchant.createPaymentPackage(1_000, payment.aa_address, f"refund {period}")
    assert await merchant.create_payment_package(1_000, payment.aa_address, f"refund {period}") == refund
    assert (await customer.verify_payment_package(refund)).amount == 1_000

    async def are_open() -> bool:
        mine, theirs = await customer.balance(), await merchant.channels(Status.OPEN)
        return mine.status is Status.OPEN and len(theirs) == 1

    await wait_until(are_open)
    check_close_request(await customer.close_request(), payment.aa_address, period, customer.address)
    mine, (theirs,) = await customer.balance(), await merchant.channels()
    assert (mine.owed_by_me, theirs.accepted_from_peer, mine.spendable) == (20_000, 20_000, 81_000)
    return payment.aa_address


def test_a_channel_lives_its_whole_life_by_awaited_calls(tmp_path: Path) -> None:
    told: list[Event] = []
    target = key_from_mnemonic(new_mnemonic()).address

    async def live(net: Devnet, merchant: AsyncServer, customer: AsyncClient) -> None:
        async def have_settled(periods: int) -> bool:
            sides = (await customer.settled_periods(), await merchant.settled_periods())
            return [len(side) for side in sides] == [periods, periods]

        leave = merchant.subscribe("payment_received", told.append)
        async with merchant, customer:
            assert customer.aa_address is None
            assert (await customer.balance()).spendable == 0
            aa_address = await pay(customer, merchant, 1)
            ways: list[Callable[[], Awaitable[None]]] = [
                customer.sweep,
                lambda: merchant.sweep(aa_address),
                lambda: merchant.close(aa_address),
                customer.close,
            ]
            for period, end in enumerate(ways, 1):
                await end()
                await wait_until(lambda period=period: have_settled(period))
                if end is not ways[-1]:
                    await pay(customer, merchant, period + 1)
            assert await merchant.channels(Status.OPEN) == []
            await merchant.withdraw(1_234, target)
            leave()
            net.settle()
            assert net.balance(target) == 1_234

    with Devnet(speed=20) as net:
        wallets = [wallet_on(net), wallet_on(net)]
        merchant = AsyncServer(wallet=wallets[0], conf=conf_for(net, tmp_path / "merchant"))
        customer = AsyncClient(merchant.address, wallet=wallets[1], conf=conf_for(net, tmp_path / "customer"))
        asyncio.run(live(net, merchant, customer))
        for wallet in wallets:
            wallet.close()
    assert [(event.period, event.amount) for event in told] == [(period, 20_000) for period in (1, 2, 3, 4)]


def test_an_async_client_of_another_payee_has_the_same_wallet_and_its_own_channel(tmp_path: Path) -> None:
    async def pay_both(merchant: AsyncServer, other: AsyncServer, client: AsyncClient) -> None:
        async with merchant, other, client, await client.for_payee(other.address) as second:
            assert (second.peer_address, second.asset) == (other.address, "base")
            assert (client.peer_address, second.address) == (merchant.address, client.address)
            for payer, payee in ((client, merchant), (second, other)):
                payment = await payee.verify_payment_package(await payer.create_payment_package(20_000))
                assert (payment.error, payment.aa_address) == (None, payer.aa_address)
            assert client.aa_address != second.aa_address

    with Devnet(speed=20) as net:
        wallets = [wallet_on(net) for _ in range(3)]
        merchant, other = (
            AsyncServer(wallet=wallet, conf=conf_for(net, tmp_path / wallet.address))
            for wallet in wallets[:2]
        )
        client = AsyncClient(merchant.address, wallet=wallets[2], conf=conf_for(net, tmp_path / "customer"))
        asyncio.run(pay_both(merchant, other, client))
        for wallet in wallets:
            wallet.close()


@pytest.mark.parametrize("party", [Client, Server, AsyncClient, AsyncServer])
def test_the_names_of_the_javascript_library_are_the_same_methods(party: type) -> None:
    for alias, name in (
        ("createPaymentPackage", "create_payment_package"),
        ("verifyPaymentPackage", "verify_payment_package"),
    ):
        assert getattr(party, alias) is getattr(party, name)


FOR_OTHER_PARTS = {
    "store",
    "events",
    "receive_payment",
    "close_for_customer",
    "receive_refund",
    "pay_for",
    "sent_package",
    "sent_by_books",
}
"""What other parts of this package ask the original for: it leads to the books, or books in a transaction of theirs."""


@pytest.mark.parametrize("twin, original", [(AsyncClient, Client), (AsyncServer, Server)])
def test_a_twin_has_everything_that_the_original_has(twin: type, original: type) -> None:
    names = {name for name in dir(original) if not name.startswith("_")}
    assert names - FOR_OTHER_PARTS <= set(dir(twin))
