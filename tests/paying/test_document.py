"""The programs in docs/clients.md run as they are written, but for the addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

import paypercall
from paypercall import wire
from paypercall.client import Client
from paypercall.paying import PaymentDeclined
from paypercall.requests import Session
from tests.documentation import ROOT, program_with, python_blocks, unknown_names
from tests.parties import customer_on
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market, Reply, changed

DOCUMENT = ROOT / "docs" / "clients.md"
PROGRAMS = python_blocks(DOCUMENT)
CALL = re.compile(r"\b(?:api|requests)\.(?:get|post)\(")


@pytest.fixture(autouse=True)
def own_client(
    market: Market,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Client]:
    """The client that the program makes is a new customer of the merchant."""
    folder = tmp_path_factory.mktemp("reader")
    client = customer_on(market.net, folder, market.server.server.address)
    monkeypatch.setattr(paypercall, "Client", lambda *_, **__: client)
    yield client
    client.close_node()
    client.wallet.close()


def run(program: str, market: Market) -> dict[str, Any]:
    """Runs a program of the document against the market; gives what it has defined."""
    program = program.replace("https://api.example.com", market.site.url)
    program = program.replace('"..."', repr(market.server.server.address))
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(program, "clients.md", "exec"), names)
    return names


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_programs_in_the_document_run(market: Market, program: str) -> None:
    assert unknown_names(program) == set()
    run(program, market)
    assert len(market.site.packages) == len(CALL.findall(program))


def test_the_function_that_approves_asks_the_owner_about_a_price_that_has_risen(
    market: Market, own_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answers = [], ["no", "yes"]

    def answer(question: str) -> str:
        asked.append(question)
        return answers.pop()

    monkeypatch.setattr("builtins.input", answer)
    budget = run(program_with("def approve", DOCUMENT), market)["budget"]
    with Session(own_client, budget) as api:
        for market.site.price in (5, 8):
            assert api.get(market.site.url).ok
        market.site.price = 10
        with pytest.raises(PaymentDeclined) as declined:
            api.get(market.site.url)
    assert declined.value.code == "not_approved"
    question = "the price was {}, now it is {}; pay? "
    assert asked == [question.format(5, 8), question.format(8, 10)]


def test_the_functions_that_are_told_of_wrong_answers_print_what_they_say(
    market: Market, own_client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    run(program_with("client.subscribe", DOCUMENT), market)
    market.site.view = lambda seen: Reply(500, [], b"")
    market.site.trick = lambda seen, honest: (
        honest()
        if seen.package is None
        else changed(honest(), {wire.RECEIPT: "none of ours", wire.PACKAGE: None})
    )
    with Session(own_client, BUDGET) as api:
        assert api.get(market.site.url).status_code == 500
    own_client.events.flush(5.0)
    channel = own_client.aa_address
    assert sorted(capsys.readouterr().out.splitlines()) == [
        f"not refunded: 100 {channel}",
        f"wrong receipt: 100 {channel}",
    ]
