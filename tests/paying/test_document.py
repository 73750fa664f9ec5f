"""The programs in docs/clients.md run as they are written, but for the addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

import paypercall
from tests.documentation import ROOT, python_blocks, unknown_names
from tests.parties import customer_on
from tests.paying.fixtures import market, open_for_all
from tests.paying.merchant import Market

__all__ = ["market", "open_for_all"]

PROGRAMS = python_blocks(ROOT / "docs" / "clients.md")
CALL = re.compile(r"\b(?:api|requests)\.(?:get|post)\(")


@pytest.fixture
def _own_client(
    market: Market,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """The client that the program makes is a new customer of the merchant."""
    folder = tmp_path_factory.mktemp("reader")
    client = customer_on(market.net, folder, market.server.server.address)
    monkeypatch.setattr(paypercall, "Client", lambda *_, **__: client)
    yield
    client.close_node()
    client.wallet.close()


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.usefixtures("_own_client")
def test_the_programs_in_the_document_run(market: Market, program: str) -> None:
    assert unknown_names(program) == set()
    program = program.replace("https://api.example.com", market.site.url)
    program = program.replace('"..."', repr(market.server.server.address))
    exec(compile(program, "clients.md", "exec"), {"__name__": "__main__"})
    assert len(market.site.packages) == len(CALL.findall(program))
