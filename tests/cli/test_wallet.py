"""The commands `wallet …` about money, as processes of their own, as a person runs them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from paypercall.cli import main
from paypercall.devnet import Devnet
from paypercall.devnet.history import MAX_ITEMS
from paypercall.obyte.keys import Key, key_from_mnemonic
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.server import Server
from tests.cli.project import Project
from tests.parties import conf_for, customer_on, pay, wait_until_open, wallet_on

PAYEE = key_from_mnemonic(new_mnemonic()).address


def key_of(project: Project) -> Key:
    return key_from_mnemonic(json.loads(project.key_path.read_text())["mnemonic"])


def fund(net: Devnet, project: Project, amount: int = 1_000_000) -> str:
    address = project.ok("address").strip()
    net.fund(address, amount)
    net.settle()
    return address


def test_the_address_is_the_same_each_time_and_the_first_time_makes_the_wallet(project: Project) -> None:
    first = project.ok("address")
    assert first == project.ok("address") == f"{key_of(project).address}\n"
    assert sorted(path.name for path in project.folder.iterdir()) == [".env", "keys.json"]


def test_what_there_is_and_what_came_and_went_is_printed(net: Devnet, project: Project) -> None:
    asset = net.issue_asset(1_000)
    address = project.ok("address").strip()
    assert project.ok("balance") == "base: 0 stable, 0 pending\n"
    assert project.ok("history") == ""
    came = [net.fund(address, 1_000_000), net.fund(address, 500, asset)]
    net.settle()
    net.hold()
    went = project.ok("send", PAYEE, "200", "--asset", asset).strip()
    assert re.fullmatch(
        rf"base: 0 stable, 99\d+ pending\n{re.escape(asset)}: 0 stable, 300 pending\n", project.ok("balance")
    )
    lines = [line.split("  ") for line in project.ok("history").splitlines()]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", time) for time, *_ in lines)
    assert [line[1:3] for line in lines] == [
        [came[0], "stable"],
        [came[1], "stable"],
        [went, "pending"],
    ]
    assert lines[0][3] == "+1000000 base"
    assert lines[1][3] == f"+500 {asset}"
    assert re.search(r"-\d+ base", lines[2][3]) and f"-200 {asset}" in lines[2][3]


@pytest.mark.slow
def test_a_wallet_of_more_units_than_a_hub_gives_at_once_is_shown_whole(
    net: Devnet, project: Project
) -> None:
    address = project.ok("address").strip()
    amounts = range(1_001, 1_001 + MAX_ITEMS + 500)
    came = [net.fund(address, amount) for amount in amounts]
    net.settle()
    assert project.ok("balance") == f"base: {sum(amounts)} stable, 0 pending\n"
    lines = [line.split("  ") for line in project.ok("history").splitlines()]
    assert sorted(unit for _, unit, _, _ in lines) == sorted(came)
    assert [time for time, *_ in lines] == sorted(time for time, *_ in lines)
    assert {what for *_, what in lines} == {f"+{amount} base" for amount in amounts}


def test_a_wallet_of_more_units_than_can_be_read_is_told_so_and_shows_no_part_for_the_whole(
    net: Devnet, project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for limit in ("devnet.history.MAX_ITEMS", "obyte.histories.HISTORY_LIMIT", "obyte.light.HISTORY_LIMIT"):
        monkeypatch.setattr(f"paypercall.{limit}", 6)
    monkeypatch.chdir(project.folder)
    address = project.ok("address").strip()
    for _ in range(13):
        net.fund(address, 10_000)
        net.settle()
    for command in ("balance", "history"):
        assert main(["wallet", command]) == 1
        told = capsys.readouterr()
        assert told.out == ""
        *_, line = told.err.splitlines()
        assert line.startswith(f"paypercall: {address} has more new units than a hub gives a light node")


def test_what_is_sent_arrives_and_leaves_the_reserve(net: Devnet, project: Project) -> None:
    address = fund(net, project)
    unit = project.ok("send", PAYEE, "5000").strip()
    assert net.sequence(unit) == "good"
    refused = project.run("send", PAYEE, "950000")
    *_, line = refused.stderr.splitlines()
    assert (refused.returncode, refused.stdout) == (1, "")
    assert line.startswith("paypercall: nothing was sent: ") and "held back" in line
    net.fund(address, 1_000_000)
    net.settle()
    project.ok("send", PAYEE, "7")
    assert net.balance(PAYEE) == 5_007


def test_it_works_beside_a_node_that_holds_the_lease(net: Devnet, project: Project) -> None:
    fund(net, project)
    wallet = wallet_on(net, key_of(project), funds=0)
    with Server(wallet=wallet, conf=conf_for(net, project.folder)) as merchant:
        merchant.withdraw(1, PAYEE)
        project.ok("send", PAYEE, "5000")
        assert project.ok("consolidate") == "there is nothing to move\n"
        net.fund(merchant.address, 5_000)
        net.settle()
        assert len(project.ok("consolidate").splitlines()) == 1
        assert merchant._node._thread is not None
        (unit,) = project.ok("sweep-out", PAYEE).splitlines()
    wallet.close()
    net.settle()
    assert net.sequence(unit) == "good"
    assert net.balance(merchant.address) == 0


def test_nothing_is_swept_out_while_a_channel_is_open(net: Devnet, project: Project, tmp_path: Path) -> None:
    fund(net, project)
    wallet = wallet_on(net, key_of(project), funds=0)
    merchant = Server(wallet=wallet, conf=conf_for(net, project.folder))
    with merchant, customer_on(net, tmp_path / "customer", merchant.address) as customer:
        pay(customer, merchant, 40_000)
        wait_until_open(customer, merchant)
    customer.wallet.close()
    wallet.close()
    assert project.fails("sweep-out", PAYEE) == (
        "paypercall: 1 channels are not closed: close them first, or send what is above the reserve\n"
    )


def test_everything_is_swept_out_and_what_stays_is_said(net: Devnet, project: Project) -> None:
    address = fund(net, project)
    for _ in range(105):
        net.fund(address, 95)
    net.settle()
    result = project.run("sweep-out", PAYEE)
    assert (result.returncode, len(result.stdout.splitlines())) == (1, 1)
    assert result.stderr.splitlines()[-1].startswith("paypercall: the rest stays: nothing was sent: ")
    assert 0 < net.balance(address) < 1_000


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["send", "me", "5"], "the address is not a valid Obyte address"),
        (["send", PAYEE, "5", "--asset", "gold"], "the asset must be 'base' or a 44-character asset id"),
        (["sweep-out", "me"], "the address is not a valid Obyte address"),
        (["consolidate", "--asset", "gold"], "the asset must be 'base' or a 44-character asset id"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    project: Project, arguments: list[str], line: str
) -> None:
    result = project.run(*arguments)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == f"paypercall: {line}"


def test_a_wallet_of_another_network_is_refused_in_one_line(net: Devnet, project: Project) -> None:
    project.ok("address")
    content = json.loads(project.key_path.read_text())
    project.key_path.write_text(json.dumps({**content, "network": "livenet"}))
    line = project.fails("balance")
    assert "is a wallet of livenet, the conf's network is devnet" in line
