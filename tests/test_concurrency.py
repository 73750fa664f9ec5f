"""Many threads, processes, forks and coroutines at once: every sum stays exact, and nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests

from paypercall.asynchronous import MAX_THREADS, AsyncClient, AsyncParty, AsyncServer
from paypercall.calls import PartyClosed
from paypercall.channel import Channel, Status
from paypercall.client import Client
from paypercall.conf import Conf
from paypercall.devnet import Devnet
from paypercall.events import Event
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.mnemonics import MNEMONIC_VARIABLE, new_mnemonic
from paypercall.party import Party
from paypercall.results import Payment
from paypercall.server import Server
from paypercall.store import PeriodRecord, Store
from tests.gunicorn import Keys, begin_books, gunicorn
from tests.parties import conf_for, customer_on, merchant_on, wait_until, wallet_on
from tests.party_process import PartyProcess
from tests.store.conftest import postgresql_server, url

__all__ = ["postgresql_server", "url"]  # fixtures of the tests of the store

PRICE = 100

FORK_SECONDS = 50
"""After so long a forked child that hangs is ended by the system."""

ROOT = Path(__file__).parent.parent

Package = dict[str, Any]
_PartyT = TypeVar("_PartyT", bound=Party)
_Answer = TypeVar("_Answer")


@pytest.fixture
def net() -> Iterator[Devnet]:
    with Devnet(speed=20) as net:
        yield net


@pytest.fixture
def merchant(net: Devnet, tmp_path: Path) -> Iterator[Server]:
    with merchant_on(net, tmp_path / "merchant") as merchant:
        yield merchant
    merchant.wallet.close()


@pytest.fixture
def customer(net: Devnet, tmp_path: Path, merchant: Server) -> Iterator[Client]:
    with customer_on(net, tmp_path / "customer", merchant.address) as customer:
        yield customer
    customer.wallet.close()


@contextmanager
def living(party: _PartyT) -> Iterator[_PartyT]:
    """A party whose wallet was handed in, until the end of the block."""
    with party:
        yield party
    party.wallet.close()


def in_threads(threads: int, call: Callable[[int], Any], count: int) -> list[Any]:
    """Makes calls with the numbers below `count` in so many threads at once, and returns the results in order."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(call, range(count)))


def channel_at(database_url: str) -> Channel:
    """The only channel of a database."""
    with closing(Store(database_url)) as store, store.reading() as books:
        identity = books.node.identity()
        assert identity is not None
        (record,) = books.channels.records(identity.my_address)
        return record.channel


def amount_spent(package: Package) -> int:
    return int(package["signed_message"]["amount_spent"])


def check_signed(packages: Sequence[Package], channel: Channel) -> None:
    """Each total was signed once, and the last one is in the books."""
    assert sorted(map(amount_spent, packages)) == [PRICE * (number + 1) for number in range(len(packages))]
    assert channel.signed_by_me == PRICE * len(packages)


def check_accepted(packages: Sequence[Package], accepted: int, channel: Channel) -> None:
    """So many packages were accepted, each once, and the highest of all is the last message."""
    highest = max(map(amount_spent, packages))
    assert channel.accepted_from_peer == PRICE * accepted
    assert channel.accepted_from_peer <= channel.signed_by_peer == highest
    assert channel.last_package is not None
    assert amount_spent(json.loads(channel.last_package)) == highest


def check_verdicts(verdicts: Sequence[tuple[int, str | None]], packages: int) -> None:
    """Of all who verified the same packages, each was told for one that it is paid, the others that it was."""
    assert Counter(verdicts) == {(PRICE, None): packages, (0, "duplicate"): len(verdicts) - packages}


def sent_until_heard(send: Callable[[], _Answer], code_of: Callable[[_Answer], str | None]) -> _Answer:
    """As a client does: the same package again while too many others wait for the ledger."""
    while code_of(answer := send()) == "too_many_waiting":
        time.sleep(0.1)
    return answer


def verify(merchant: Server, package: Package) -> Payment:
    return sent_until_heard(lambda: merchant.verify_payment_package(package), lambda payment: payment.code)


def verdict_of(payment: Payment) -> tuple[int, str | None]:
    return payment.amount, payment.code


# --- threads ---------------------------------------------------------------------------------------------------------


def test_threads_share_a_client_and_a_server(tmp_path: Path, merchant: Server, customer: Client) -> None:
    packages = in_threads(8, lambda _: customer.create_payment_package(PRICE), 80)
    check_signed(packages, channel_at(f"sqlite:///{tmp_path}/customer/paypercall.sqlite"))
    # Two threads at least meet over each package.
    payments = in_threads(8, lambda number: verify(merchant, packages[number // 2]), 160)
    check_verdicts([verdict_of(payment) for payment in payments], len(packages))
    for first, second in zip(payments[::2], payments[1::2], strict=True):
        accepted, repeated = (first, second) if first.error is None else (second, first)
        assert repeated.first == accepted
    check_accepted(packages, 80, channel_at(f"sqlite:///{tmp_path}/merchant/paypercall.sqlite"))


def test_threads_never_spend_more_than_was_deposited(merchant: Server, customer: Client) -> None:
    """Payments and refunds at once, with refills in between: both sides' sums agree at the end."""

    def buy(_: int) -> int:
        payment = verify(merchant, customer.create_payment_package(10_000))
        assert (payment.amount, payment.error) == (10_000, None)
        assert payment.aa_address is not None
        refund = merchant.create_payment_package(1_000, payment.aa_address, f"refund {payment.payment_id}")
        result = customer.verify_payment_package(refund)
        return result.amount

    assert in_threads(6, buy, 24) == [1_000] * 24
    mine, (theirs,) = customer.balance(), merchant.channels()
    assert mine.owed_by_me == theirs.owed_by_peer == theirs.accepted_from_peer == 240_000
    assert mine.owed_by_peer == theirs.owed_by_me == mine.accepted_from_peer == 24_000
    assert mine.owed_by_me <= mine.deposited_by_me + mine.pending_deposits + mine.owed_by_peer


def test_threads_with_the_same_idempotency_key_get_the_same_package(
    net: Devnet, tmp_path: Path, merchant: Server, url: str
) -> None:
    """On SQLite they come one after the other anyway; PostgreSQL lets them in at once."""
    with living(customer_on(net, tmp_path / "customer", merchant.address, database_url=url)) as customer:
        packages = in_threads(
            8, lambda number: customer.create_payment_package(PRICE, f"key {number // 8}"), 32
        )
        assert sorted({amount_spent(package) for package in packages}) == [PRICE * n for n in (1, 2, 3, 4)]
        assert customer.balance().owed_by_me == 4 * PRICE


def test_threads_open_one_channel(net: Devnet, tmp_path: Path, merchant: Server, url: str) -> None:
    with living(customer_on(net, tmp_path / "customer", merchant.address, database_url=url)) as customer:
        packages = in_threads(8, lambda _: customer.create_payment_package(PRICE), 8)
    assert len({package["signed_message"]["aa_address"] for package in packages}) == 1
    check_signed(packages, channel_at(url))


# --- processes -------------------------------------------------------------------------------------------------------


def create_many(settings: dict[str, Any], mnemonic: str, peer_address: str, count: int) -> list[Package]:
    """What one of several processes of a customer does."""
    os.environ[MNEMONIC_VARIABLE] = mnemonic
    with Client(peer_address, conf=Conf.from_settings(settings)) as customer:
        return [customer.create_payment_package(PRICE) for _ in range(count)]


def verify_all(
    settings: dict[str, Any], mnemonic: str, packages: list[Package]
) -> list[tuple[int, str | None]]:
    """What one of several processes of a merchant does."""
    os.environ[MNEMONIC_VARIABLE] = mnemonic
    with Server(conf=Conf.from_settings(settings)) as merchant:
        return [verdict_of(merchant.verify_payment_package(package)) for package in packages]


@pytest.mark.slow
def test_processes_share_a_database(net: Devnet, tmp_path: Path) -> None:
    merchant, customer = Keys(net, tmp_path / "merchant"), Keys(net, tmp_path / "customer")
    begin_books(merchant)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        created = pool.starmap(
            create_many, [(customer.settings, customer.mnemonic, merchant.address, 20)] * 3
        )
        packages = [package for each in created for package in each]
        check_signed(packages, channel_at(customer.settings["database_url"]))
        orders = [packages, packages[::-1], packages[20:] + packages[:20]]
        verified = pool.starmap(
            verify_all, [(merchant.settings, merchant.mnemonic, order) for order in orders]
        )
        pool.close()
        pool.join()
    check_verdicts([verdict for each in verified for verdict in each], len(packages))
    check_accepted(packages, 60, channel_at(merchant.settings["database_url"]))


def is_being_written(database_url: str) -> bool:
    """Whether a process that was stopped just now holds the file's write lock."""
    time.sleep(0.05)  # until it has stopped
    connection = sqlite3.connect(database_url.removeprefix("sqlite:///"), timeout=0, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return True
    finally:
        connection.close()
    return False


@pytest.mark.slow
@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGSTOP])
def test_another_process_takes_over_from_a_lease_holder_that_does_nothing_any_more(
    net: Devnet, tmp_path: Path, fate: signal.Signals
) -> None:
    with (
        PartyProcess(net, tmp_path / "merchant") as holder,
        holder.sibling() as other,
        living(customer_on(net, tmp_path / "customer", holder.address)) as customer,
    ):
        for party in (holder, other):
            party.start()
            assert party.call("channels") == []
        package = customer.create_payment_package(40_000)
        assert other.call("verify_payment_package", package=package).amount == 40_000
        wait_until(lambda: channel_at(holder.database_url).status is Status.OPEN, "the channel is open")
        holder.send(fate)
        while fate is signal.SIGSTOP and is_being_written(holder.database_url):
            # Whoever is stopped within a transaction holds all others up, which is no matter of the lease.
            holder.send(signal.SIGCONT)
            time.sleep(0.02)
            holder.send(fate)
        assert other.call("verify_payment_package", package=package).code == "duplicate"
        customer.close()
        wait_until(lambda: len(customer.settled_periods()) == 1, "the other process confirms")
        wait_until(lambda: other.call("settled_periods") != [], "the other process knows it")
        if fate is signal.SIGSTOP:
            # It wakes up in the belief that it still holds the lease.
            holder.send(signal.SIGCONT)
            assert len(holder.call("settled_periods")) == 1
            second = customer.create_payment_package(30_000)
            assert holder.call("verify_payment_package", package=second).amount == 30_000
            wait_until(lambda: channel_at(holder.database_url).status is Status.OPEN, "it is open again")
            assert other.call("close", aa_address=customer.aa_address) is None
            wait_until(lambda: len(customer.settled_periods()) == 2, "the second period has ended")
        periods = len(customer.settled_periods())
    commands = Counter(
        name
        for joint in net.units()
        for message in joint["unit"].get("messages", [])
        if message["app"] == "data" and joint["unit"]["authors"][0]["address"] != customer.aa_address
        for name in ("close", "confirm")
        if name in message["payload"]
    )
    assert commands == {"close": periods, "confirm": periods}


# --- forks -----------------------------------------------------------------------------------------------------------


def fork_and_verify(
    settings: dict[str, Any], mnemonic: str, packages: list[Package], is_started: bool, results: Connection
) -> None:
    """Makes a merchant, forks twice, and verifies the same packages in all three processes at once."""
    os.environ[MNEMONIC_VARIABLE] = mnemonic
    merchant = Server(conf=Conf.from_settings(settings))
    if is_started:
        merchant.start_node()
        assert merchant.verify_payment_package(packages[0]).error is None
    read, write = os.pipe()
    children = []
    for _ in range(2):
        child = os.fork()
        if not child:
            code = 1
            signal.alarm(FORK_SECONDS)
            try:
                with merchant:
                    verdicts = [verdict_of(merchant.verify_payment_package(package)) for package in packages]
                    # Its own, which waits to take over; the parent's is not here.
                    assert "paypercall-node" in threads_of_ours()
                assert threads_of_ours() == []
                os.write(write, json.dumps(verdicts).encode() + b"\n")
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    with merchant:
        verdicts = [verdict_of(merchant.verify_payment_package(package)) for package in packages[::-1]]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    os.close(write)
    with os.fdopen(read) as lines:
        theirs = [tuple(verdict) for line in lines for verdict in json.loads(line)]
    results.send((codes, [*verdicts, *theirs]))


@pytest.mark.slow
@pytest.mark.parametrize("is_started", [False, True], ids=["after construction", "after the start"])
def test_a_server_survives_a_fork(net: Devnet, tmp_path: Path, is_started: bool) -> None:
    merchant = Keys(net, tmp_path / "merchant")
    begin_books(merchant)
    with living(customer_on(net, tmp_path / "customer", merchant.address)) as customer:
        packages = [customer.create_payment_package(PRICE) for _ in range(20)]
        context = multiprocessing.get_context("forkserver")
        results, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=fork_and_verify,
            args=(merchant.settings, merchant.mnemonic, packages, is_started, theirs),
        )
        process.start()
        theirs.close()
        assert results.poll(FORK_SECONDS + 10), "the processes have an answer"
        codes, verdicts = results.recv()
        process.join(20)
        assert process.exitcode == 0
        process.close()
    assert codes == [0, 0]
    expected = len(packages) - is_started
    assert Counter(verdicts) == {(PRICE, None): expected, (0, "duplicate"): len(verdicts) - expected}
    check_accepted(packages, 20, channel_at(merchant.settings["database_url"]))


def fork_and_sign(settings: dict[str, Any], mnemonic: str, payee: str, results: Connection) -> None:
    """Makes a customer that has paid, forks twice, and signs in all three processes at once."""
    os.environ[MNEMONIC_VARIABLE] = mnemonic
    read, write = os.pipe()
    with Client(payee, conf=Conf.from_settings(settings)) as customer:
        packages = [customer.create_payment_package(PRICE)]
        children = []
        for _ in range(2):
            child = os.fork()
            if not child:
                code = 1
                signal.alarm(FORK_SECONDS)
                try:
                    theirs = [customer.create_payment_package(PRICE) for _ in range(10)]
                    customer.close_node()
                    os.write(write, json.dumps(theirs).encode() + b"\n")
                    code = 0
                finally:
                    os._exit(code)
            children.append(child)
        os.close(write)
        packages += [customer.create_payment_package(PRICE) for _ in range(10)]
        with os.fdopen(read) as lines:  # before the children are waited for: a pipe holds only so much
            packages += [package for line in lines for package in json.loads(line)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    results.send((codes, packages))


@pytest.mark.slow
def test_a_started_client_signs_different_totals_on_both_sides_of_a_fork(net: Devnet, tmp_path: Path) -> None:
    customer = Keys(net, tmp_path / "customer")
    with living(merchant_on(net, tmp_path / "merchant")) as merchant:
        context = multiprocessing.get_context("forkserver")
        results, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=fork_and_sign, args=(customer.settings, customer.mnemonic, merchant.address, theirs)
        )
        process.start()
        theirs.close()
        assert results.poll(FORK_SECONDS + 10), "the processes have an answer"
        codes, packages = results.recv()
        process.join(20)
        assert process.exitcode == 0
        process.close()
        assert codes == [0, 0]
        check_signed(packages, channel_at(customer.settings["database_url"]))
        payments = [merchant.verify_payment_package(package) for package in packages]
        assert [payment.error for payment in payments] == [None] * 31


@pytest.mark.slow
def test_gunicorn_preloads_a_server_into_its_workers(net: Devnet, tmp_path: Path) -> None:
    merchant = Keys(net, tmp_path / "merchant")
    begin_books(merchant)
    with (
        living(customer_on(net, tmp_path / "customer", merchant.address)) as customer,
        gunicorn("tests.paid_app:app", merchant, tmp_path) as url,
        requests.Session() as session,
    ):
        session.trust_env = False
        packages = [customer.create_payment_package(PRICE) for _ in range(30)]

        def send(number: int) -> Any:
            # A connection that stays open stays with its worker.
            given = {"json": packages[number // 2], "headers": {"Connection": "close"}}
            return sent_until_heard(
                lambda: session.post(url, timeout=60, **given).json(), lambda answer: answer["code"]
            )

        answers = in_threads(6, send, 60)

        def have_both_answered() -> bool:
            answers.extend(in_threads(6, send, 6))
            return len({answer["process"] for answer in answers}) == 2

        wait_until(have_both_answered, "both workers have answered", seconds=60)
        check_verdicts([(answer["amount"], answer["code"]) for answer in answers], len(packages))
        wait_until(lambda: customer.balance().status is Status.OPEN, "the channel is open")
        customer.close()
        wait_until(lambda: len(customer.settled_periods()) == 1, "the merchant confirms")
    with closing(Store(merchant.settings["database_url"])) as store, store.reading() as books:
        (period,) = books.periods.all()
    assert (period.accepted_from_peer, period.signed_by_peer) == (30 * PRICE, 30 * PRICE)


# --- coroutines ------------------------------------------------------------------------------------------------------


def test_async_twins_pay_each_other_many_times_at_once(net: Devnet, tmp_path: Path) -> None:
    wallets = [wallet_on(net), wallet_on(net)]
    merchant = AsyncServer(wallet=wallets[0], conf=conf_for(net, tmp_path / "merchant"))
    customer = AsyncClient(merchant.address, wallet=wallets[1], conf=conf_for(net, tmp_path / "customer"))

    async def trade() -> tuple[list[Package], list[Payment]]:
        async with merchant, customer:
            # The first one waits until the ledger shows the channel; only a few are let wait for that.
            first = await customer.create_payment_package(PRICE)
            payments = [await merchant.verify_payment_package(first)]
            packages = await asyncio.gather(*(customer.create_payment_package(PRICE) for _ in range(39)))
            packages = [first, *packages]
            twice = [package for package in packages for _ in range(2)]
            payments += await asyncio.gather(*map(merchant.verify_payment_package, twice[1:]))
        return packages, payments

    packages, payments = asyncio.run(trade())
    for wallet in wallets:
        wallet.close()
    check_signed(packages, channel_at(f"sqlite:///{tmp_path}/customer/paypercall.sqlite"))
    check_verdicts([verdict_of(payment) for payment in payments], len(packages))
    check_accepted(packages, 40, channel_at(f"sqlite:///{tmp_path}/merchant/paypercall.sqlite"))


def test_an_async_party_can_be_opened_again_in_another_loop(own_server: Server) -> None:
    party = AsyncParty(own_server)

    async def look() -> list[PeriodRecord]:
        async with party:
            return await party.settled_periods()

    assert asyncio.run(look()) == asyncio.run(look()) == []
    assert threads_of_ours() == []


def fork_an_async_party(settings: dict[str, Any], mnemonic: str, results: Connection) -> None:
    """Uses an async merchant, forks, and uses it in the child, which has none of the threads."""
    os.environ[MNEMONIC_VARIABLE] = mnemonic
    merchant = AsyncServer(conf=Conf.from_settings(settings))

    async def look() -> list[PeriodRecord]:
        return await merchant.settled_periods()

    assert asyncio.run(look()) == []
    child = os.fork()
    if not child:
        code = 1
        signal.alarm(FORK_SECONDS)
        try:
            code = len(asyncio.run(look()))
        finally:
            os._exit(code)
    results.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    asyncio.run(merchant.close_node())


def test_an_async_party_survives_a_fork(net: Devnet, tmp_path: Path) -> None:
    merchant = Keys(net, tmp_path / "merchant")
    context = multiprocessing.get_context("forkserver")
    results, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=fork_an_async_party, args=(merchant.settings, merchant.mnemonic, theirs), daemon=True
    )
    process.start()
    theirs.close()
    assert results.poll(FORK_SECONDS + 10), "the child has ended"
    assert results.recv() == 0
    process.join(20)
    process.close()


def test_closing_an_async_party_ends_calls_that_wait(net: Devnet, tmp_path: Path) -> None:
    payee = key_from_mnemonic(new_mnemonic()).address
    wallet = wallet_on(net, funds=0)
    customer = AsyncClient(payee, wallet=wallet, conf=conf_for(net, tmp_path / "customer"))

    async def give_up() -> list[Any]:
        # More calls than there are threads, all of which wait for a deposit that nobody can pay.
        calls = [asyncio.create_task(customer.create_payment_package(PRICE)) for _ in range(MAX_THREADS + 1)]
        while not await asyncio.to_thread(is_channel_at, tmp_path):
            await asyncio.sleep(0.05)
        await customer.close_node()
        return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = asyncio.run(give_up())
    assert [type(outcome) for outcome in outcomes] == [PartyClosed] * (MAX_THREADS + 1)
    wallet.close()


def is_channel_at(folder: Path) -> bool:
    with closing(Store(f"sqlite:///{folder}/customer/paypercall.sqlite")) as store, store.reading() as books:
        return bool(books.outbox.unfinished())


# --- closing ---------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _threads_before() -> None:
    """Remembers which threads the parties of other tests have left running in this process."""
    THREADS_BEFORE.clear()
    THREADS_BEFORE.update(threading.enumerate())


THREADS_BEFORE: set[threading.Thread] = set()


def threads_of_ours() -> list[str]:
    """The names of our threads that this test has started and that run; a test's devnet has none of these."""
    started = set(threading.enumerate()) - THREADS_BEFORE
    return sorted(thread.name for thread in started if thread.name.startswith("paypercall"))


def open_files(folder: Path) -> list[str]:
    """The files below a folder that this process has open."""
    files = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            files.append(os.readlink(f"/proc/self/fd/{number}"))
    return [file for file in files if file.startswith(str(folder))]


@pytest.fixture
def own_server(net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A merchant that makes its wallet itself; not started."""
    keys = Keys(net, tmp_path / "merchant")
    monkeypatch.setenv(MNEMONIC_VARIABLE, keys.mnemonic)
    return Server(conf=Conf.from_settings(keys.settings))


def test_a_node_is_closed_while_other_threads_call_and_goes_on_when_it_is_started_again(
    net: Devnet, tmp_path: Path, own_server: Server
) -> None:
    with living(customer_on(net, tmp_path / "customer", own_server.address)) as customer:
        packages = [customer.create_payment_package(PRICE) for _ in range(60)]
        assert own_server.verify_payment_package(packages[0]).error is None
        waiting = iter(packages[1:])
        taking = threading.Lock()
        payments: list[Payment] = []
        refused: list[Package] = []
        begun = threading.Event()

        def verify(_: int) -> None:
            while True:
                with taking:
                    package = next(waiting, None)
                if package is None:
                    return
                try:
                    payments.append(own_server.verify_payment_package(package))
                except PartyClosed:
                    refused.append(package)
                if len(payments) > 5:
                    begun.set()

        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(verify, number) for number in range(4)]
            assert begun.wait(20)
            own_server.close_node()
            for call in calls:
                call.result()
        assert all(payment.error is None for payment in payments)
        assert refused
    assert threads_of_ours() == []
    assert open_files(tmp_path / "merchant") == []
    with own_server:
        assert {own_server.verify_payment_package(package).amount for package in refused} == {PRICE}
    check_accepted(packages, 60, channel_at(f"sqlite:///{tmp_path}/merchant/paypercall.sqlite"))
    assert threads_of_ours() == []
    assert open_files(tmp_path / "merchant") == []


def test_a_party_can_be_entered_again(net: Devnet, own_server: Server) -> None:
    for _ in range(3):
        with own_server:
            wait_until(lambda: own_server._node_health().synced_at is not None, "the node sees the ledger")
            assert own_server.channels() == []
        assert threads_of_ours() == []
    with pytest.raises(PartyClosed):
        own_server.channels()


def test_a_call_that_waits_ends_when_the_node_is_closed(net: Devnet, tmp_path: Path) -> None:
    payee = key_from_mnemonic(new_mnemonic()).address
    customer = customer_on(net, tmp_path / "customer", payee, funds=0)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(customer.create_payment_package, PRICE)
        wait_until(lambda: is_channel_at(tmp_path), "the deposit is decided")
        customer.close_node()
        with pytest.raises(PartyClosed):
            call.result(20)
    customer.wallet.close()
    assert threads_of_ours() == []


def test_a_node_can_be_closed_while_its_hub_is_out_of_reach(tmp_path: Path) -> None:
    with Devnet() as gone:
        conf = conf_for(gone, tmp_path / "merchant")
        wallet = wallet_on(gone)
    merchant = Server(wallet=wallet, conf=conf)
    merchant.start_node()
    wait_until(lambda: "paypercall-lease" in threads_of_ours(), "the node tries to reach its hub")
    closing_it = threading.Thread(target=merchant.close_node)
    closing_it.start()
    closing_it.join(20)
    assert not closing_it.is_alive()
    wallet.close()


def test_a_node_can_be_closed_while_its_hub_says_nothing(net: Devnet, own_server: Server) -> None:
    own_server.start_node()
    wait_until(lambda: own_server._node_health().synced_at is not None, "the node sees the ledger")
    net.mute()
    own_server._node._has_news.set()
    own_server._node.wake()
    time.sleep(0.5)
    closing_it = threading.Thread(target=own_server.close_node)
    closing_it.start()
    closing_it.join(20)
    assert not closing_it.is_alive()
    assert threads_of_ours() == []


def test_a_subscriber_may_close_the_node(net: Devnet, tmp_path: Path, own_server: Server) -> None:
    closed = threading.Event()

    def close(_: Event) -> None:
        own_server.close_node()
        closed.set()

    own_server.subscribe("closing", close)
    with living(customer_on(net, tmp_path / "customer", own_server.address)) as customer:
        assert own_server.verify_payment_package(customer.create_payment_package(PRICE)).error is None
        wait_until(lambda: customer.balance().status is Status.OPEN, "the channel is open")
        customer.close()
        assert closed.wait(20)
    wait_until(lambda: threads_of_ours() == [], "the threads have ended")
