"""The programs in docs/methods.md run as they stand there, but for addresses, against real servers."""

from __future__ import annotations

import json
import re
import sqlite3
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import requests

from paypercall import wire
from paypercall.call_book import CallBook
from paypercall.client import Client
from paypercall.devnet import Devnet
from paypercall.errors import PaypercallError
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.paid_call import PaidCall
from paypercall.paywall import Answer, Paywall, Price, Request, Running
from paypercall.store import Store
from tests.documentation import ROOT, python_blocks
from tests.methods.http_merchant import ANSWER, serving
from tests.methods.third_party import balance, open_account, running_accounts
from tests.paying.merchant import Reply, Reset, Seen, Site
from tests.paywall.merchant import Headers
from tests.reader import use_conf_in

DOCUMENT = ROOT / "docs" / "methods.md"
MERCHANT, ON_CHAIN, TRANSFER, OWN = python_blocks(DOCUMENT)
PRICE = 12_000
START = 30_000


@pytest.fixture(scope="module")
def net() -> Iterator[Devnet]:
    with Devnet(speed=20) as net:
        yield net


def run(program: str, **addresses: str) -> dict[str, Any]:
    """Runs a program with other addresses in the place of those that it names."""
    for name, address in addresses.items():
        program, count = re.subn(rf"^{name} = .*$", f"{name} = {address!r}", program, flags=re.MULTILINE)
        assert count == 1
    namespace: dict[str, Any] = {"__name__": "program"}
    exec(compile(program, str(DOCUMENT), "exec"), namespace)
    return namespace


def test_the_three_methods_side_by_side_take_what_the_programs_pay(
    net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STARTING_BALANCE", str(START))
    with running_accounts(tmp_path) as accounts:
        open_account(accounts, "merchant")
        use_conf_in(tmp_path / "merchant", net, monkeypatch)
        merchant = run(MERCHANT, ACCOUNTS=accounts)
        payments = merchant["payments"]
        with payments.server, serving(Paywall(payments.calls, merchant["methods"]), PRICE) as host:
            terms = host.ask({})
            assert (terms.status_code, terms.headers[wire.METHODS]) == (
                402,
                "channel, on_chain, bit_transfer",
            )
            key_file = tmp_path / "alice.mnemonic"
            for path, payments_made in (("/answer", 1), ("/another", 2)):
                run(TRANSFER, URL=host.url + path, ACCOUNTS=accounts, KEY_FILE=str(key_file))
                assert capsys.readouterr().out == ANSWER.decode() + "\n"
                assert balance(accounts, "merchant") == START + payments_made * PRICE
            assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
            use_conf_in(tmp_path / "customer", net, monkeypatch)
            with Client(payments.server.address) as customer:
                net.fund(customer.address, 100_000)
                net.settle()
            run(ON_CHAIN, URL=f"{host.url}/answer")
            assert capsys.readouterr().out == ANSWER.decode() + "\n"
            assert net.balance(payments.server.address) == PRICE


@pytest.mark.parametrize("program", [ON_CHAIN, TRANSFER])
@pytest.mark.parametrize("price, asset", [("1000000000", "base"), ("10", "A" * 43 + "=")])
def test_what_costs_too_much_or_another_asset_is_not_paid(
    tmp_path: Path, program: str, price: str, asset: str
) -> None:
    terms = [
        (wire.PRICE, price),
        (wire.ASSET, asset),
        (wire.ADDRESS, "x"),
        (wire.TRANSFER_ADDRESS, "x"),
        (wire.TRANSFER_USERNAME, "x"),
        (wire.TRANSFER_TERMS, "x"),
        (wire.UNIT_TERMS, "x"),
    ]
    site = Site(None)
    site.view = lambda seen: Reply(402, terms, b"")
    try:
        addresses = {"URL": site.url + "/answer"}
        if program is TRANSFER:
            addresses["ACCOUNTS"] = site.url
        with pytest.raises(SystemExit, match=f"it costs {price}"):
            run(program, **addresses)
    finally:
        site.close()
    assert [seen.method for seen in site.seen if seen.path == "/answer"] == ["GET"]


@pytest.mark.parametrize("program", [ON_CHAIN, TRANSFER])
@pytest.mark.parametrize("status", [200, 402])
def test_what_is_free_or_cannot_be_paid_for_by_this_method_is_shown_and_not_paid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], program: str, status: int
) -> None:
    with closing(Site(None)) as site:
        site.view = lambda seen: Reply(status, [], ANSWER)
        addresses = {"URL": site.url + "/answer"}
        if program is TRANSFER:
            addresses |= {"ACCOUNTS": site.url, "KEY_FILE": str(tmp_path / "none")}
        run(program, **addresses)
    assert capsys.readouterr().out == ANSWER.decode() + "\n"
    assert len(site.seen) == 1
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("opened", [201, 409, 500])
def test_a_transfer_is_sent_again_until_its_outcome_is_known_and_none_without_an_account(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], opened: int
) -> None:
    merchant = [(wire.PRICE, "5"), (wire.ASSET, "base"), (wire.TRANSFER_TERMS, "amount=exact")]
    payee = [(wire.TRANSFER_ADDRESS, "A" * 32), (wire.TRANSFER_USERNAME, "merchant")]
    later = [("Retry-After", "0")]
    answers = iter(
        [Reply(402, [*merchant, *payee], b""), Reset(), Reply(503, later, b""), Reply(409, later, b"")]
    )

    def answer(seen: Seen, honest: object) -> Reply:
        if seen.path == "/accounts":
            return Reply(opened, [], b"")
        reply = next(answers, Reply(200, [], ANSWER))
        if isinstance(reply, Reset):
            raise reply
        return reply

    with closing(Site(None)) as site:
        site.trick = answer
        addresses = {"URL": site.url + "/answer", "ACCOUNTS": site.url, "KEY_FILE": str(tmp_path / "key")}
        if opened == 500:
            with pytest.raises(requests.HTTPError):
                run(TRANSFER, **addresses)
        else:
            run(TRANSFER, **addresses)
            assert capsys.readouterr().out == ANSWER.decode() + "\n"
    sent = [text for seen in site.seen if (text := seen.headers.get(wire.TRANSFER)) is not None]
    assert len(sent) == (0 if opened == 500 else 4)
    assert len(set(sent)) <= 1


@dataclass
class PaidByUnit:
    """What the program that pays by units has done.

    Attributes:
        sent: The units that it sent, in their order.
        listed: Those that may still buy something after it.
        payee: Whom it paid.
        output: What it printed.
    """

    sent: list[str]
    listed: list[str]
    payee: str
    output: str


PayByUnit = Callable[..., PaidByUnit]


@pytest.fixture
def pay_by_unit(
    net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> PayByUnit:
    def pay(*replies: Reply | Reset) -> PaidByUnit:
        """Runs the program against these replies; each one to a unit, and the last for good."""
        payee = key_from_mnemonic(new_mnemonic()).address
        terms = [
            (wire.PRICE, str(PRICE)),
            (wire.ASSET, "base"),
            (wire.ADDRESS, payee),
            (wire.UNIT_TERMS, "x"),
        ]
        use_conf_in(tmp_path / "customer", net, monkeypatch)
        with Client(payee) as customer:
            net.fund(customer.address, 100_000)
            net.settle()
        answers = list(replies)

        def answer(seen: Seen, honest: object) -> Reply:
            if seen.headers.get(wire.UNIT) is None:
                return Reply(402, terms, b"")
            reply = answers.pop(0) if len(answers) > 1 else answers[0]
            if isinstance(reply, Reset):
                raise reply
            return reply

        with closing(Site(None)) as site:
            site.trick = answer
            run(ON_CHAIN, URL=site.url + "/answer")
        sent = [
            wire.decode_unit(text)["unit"]["unit"]
            for seen in site.seen
            if (text := seen.headers.get(wire.UNIT))
        ]
        with Client(payee) as customer:
            listed = [unit.payment.hash for unit in customer.unit_payer.prepared()]
        return PaidByUnit(sent, listed, payee, capsys.readouterr().out)

    return pay


def test_a_unit_is_sent_again_until_its_outcome_is_known_and_is_done_with_then(
    pay_by_unit: PayByUnit,
) -> None:
    later, receipt = [("Retry-After", "0")], [(wire.RECEIPT, "{}")]
    paid = pay_by_unit(Reset(), Reply(503, later, b""), Reply(409, later, b""), Reply(200, receipt, ANSWER))
    assert (len(paid.sent), len(set(paid.sent))) == (4, 1)
    assert paid.output == ANSWER.decode() + "\n"
    assert paid.listed == []


@pytest.mark.parametrize("status", [400, 402, 200, 302, 404, 431])
def test_a_unit_that_nobody_has_taken_is_taken_back(net: Devnet, pay_by_unit: PayByUnit, status: int) -> None:
    paid = pay_by_unit(Reply(status, [], b"no"))
    (unit,) = paid.sent
    assert paid.listed == []
    net.settle()
    posted = [joint["unit"] for joint in net.units()][-1]
    assert posted["unit"] != unit and net.balance(paid.payee) == 0
    assert paid.output == "no\n"


@pytest.mark.parametrize(
    "status, headers",
    [(500, []), (502, []), (409, []), (500, [(wire.RECEIPT, '{"used": false}')])],
)
def test_a_unit_that_may_still_buy_something_stays_listed(
    pay_by_unit: PayByUnit, status: int, headers: list[tuple[str, str]]
) -> None:
    paid = pay_by_unit(Reply(status, headers, b"failed"))
    assert paid.listed == paid.sent
    assert paid.output == f"unit {paid.sent[0]} stays in payer.prepared()\nfailed\n"


@pytest.fixture
def vouchers(tmp_path: Path) -> Path:
    path = tmp_path / "vouchers.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE vouchers (code TEXT PRIMARY KEY, worth INTEGER, used_by TEXT)")
        database.executemany("INSERT INTO vouchers VALUES (?, ?, NULL)", [("good", PRICE), ("small", 5)])
    return path


def test_the_method_of_ones_own_takes_thirty_lines_and_vouchers(tmp_path: Path, vouchers: Path) -> None:
    lines = OWN[OWN.index("class Voucher") :].splitlines()
    assert len([line for line in lines if line.strip()]) <= 30
    method = run(OWN)["Voucher"](vouchers)

    def used() -> set[str]:
        with closing(sqlite3.connect(vouchers)) as database:
            return {
                code for (code,) in database.execute("SELECT code FROM vouchers WHERE used_by IS NOT NULL")
            }

    with (
        closing(Store(f"sqlite:///{tmp_path}/books.sqlite")) as store,
        serving(Paywall(CallBook(store), [method]), PRICE) as host,
    ):

        def ask(code: str, path: str = "/answer") -> requests.Response:
            return host.ask({"Payment-Voucher": code}, path)

        assert host.ask({}).headers[wire.METHODS] == "voucher"
        assert (ask("bad").status_code, ask("bad").json()["code"]) == (402, "unknown_voucher")
        assert (ask("small").status_code, ask("small").json()["code"]) == (402, "underpaid")
        assert used() == set()
        failed = ask("good", "/fails")
        assert (failed.status_code, json.loads(failed.headers[wire.RECEIPT])["used"]) == (500, False)
        for _ in range(2):
            assert (ask("good").status_code, ask("good").content) == (200, ANSWER)
        assert ask("good", "/other").json()["code"] == "payment_used"
        assert used() == {"good"}
    with (
        closing(Store(f"sqlite:///{tmp_path}/other_books.sqlite")) as store,
        serving(Paywall(CallBook(store), [method]), PRICE) as host,
    ):
        for _ in range(2):
            assert (ask("good").status_code, ask("good").json()["code"]) == (402, "voucher_used")


def test_two_hosts_that_share_the_vouchers_sell_one_of_them_once(tmp_path: Path, vouchers: Path) -> None:
    method, both = run(OWN)["Voucher"], Barrier(2)

    class Together(method):  # type: ignore[misc]
        def collect(self, code: str, call: PaidCall) -> None:
            both.wait(30)
            super().collect(code, call)

    def ask(books: str) -> Answer | Running:
        with closing(Store(f"sqlite:///{tmp_path}/{books}.sqlite")) as store:
            paywall = Paywall(CallBook(store), [Together(vouchers)])
            request = Request("GET", "/answer", "", Headers({"Payment-Voucher": "good"}))
            return paywall.begin(request, Price(PRICE))

    with ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(ask, ("one", "other")))
    (refused,) = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    assert json.loads(refused.body)["code"] == "voucher_used"


def test_a_voucher_whose_use_was_interrupted_is_used_by_the_same_request(
    tmp_path: Path, vouchers: Path
) -> None:
    method, crashes = run(OWN)["Voucher"], [PaypercallError("crash")]

    class Crashing(method):  # type: ignore[misc]
        def collect(self, code: str, call: PaidCall) -> None:
            super().collect(code, call)
            if crashes:
                raise crashes.pop()

    with (
        closing(Store(f"sqlite:///{tmp_path}/books.sqlite")) as store,
        serving(Paywall(CallBook(store), [Crashing(vouchers)]), PRICE) as host,
    ):
        assert host.ask({"Payment-Voucher": "good"}).status_code == 503
        assert host.ask({"Payment-Voucher": "good"}).content == ANSWER
