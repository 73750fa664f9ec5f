"""The commands `wallet …` about keys, as processes of their own: no secret is shown that was not asked for."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paypercall.channel import Status
from paypercall.client import Client
from paypercall.devnet import Devnet
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.server import Server
from tests.cli.project import Project
from tests.parties import conf_for, customer_on, pay, wait_until, wait_until_open, wallet_on

WORDS = "legal winner thank year wave sausage worth useful legal winner thank yellow"
ADDRESS = key_from_mnemonic(WORDS).address
PASSPHRASE = "open sesame"
WITH_PASSPHRASE = {"PAYPERCALL_PASSPHRASE": PASSPHRASE}


@pytest.fixture(scope="module")
def net() -> Iterator[Devnet]:
    """One for all, since no test here needs its own."""
    with Devnet(speed=20) as net:
        yield net


@pytest.fixture
def wallet(project: Project) -> Project:
    """A project whose wallet is that of the words."""
    project.key_path.touch(0o600)
    project.key_path.write_text(json.dumps({"mnemonic": WORDS}))
    return project


def shows_secrets(text: str) -> bool:
    return "sausage" in text or PASSPHRASE in text


# --- a passphrase ---


def test_a_key_file_is_encrypted_used_and_made_plain_with_the_passphrase_of_the_environment(
    wallet: Project,
) -> None:
    printed = wallet.ok("encrypt", environment=WITH_PASSPHRASE)
    assert "keys.json is encrypted" in printed and not shows_secrets(printed)
    assert not shows_secrets(wallet.key_path.read_text())
    line = wallet.fails("address")
    assert "keys.json is encrypted: set PAYPERCALL_PASSPHRASE" in line
    wrong = wallet.fails("address", environment={"PAYPERCALL_PASSPHRASE": "open sesam"})
    assert "the passphrase is wrong" in wrong and not shows_secrets(wrong)
    assert wallet.ok("address", environment=WITH_PASSPHRASE) == f"{ADDRESS}\n"
    assert "keys.json is plain now" in wallet.ok("decrypt", environment=WITH_PASSPHRASE)
    assert wallet.ok("address") == f"{ADDRESS}\n"
    assert "is not encrypted" in wallet.fails("decrypt")


def test_at_a_terminal_the_passphrase_is_asked_for_without_echo(wallet: Project) -> None:
    status, seen = wallet.at_terminal("encrypt", answers=[PASSPHRASE, PASSPHRASE])
    assert status == 0 and "keys.json is encrypted" in seen and not shows_secrets(seen)
    status, seen = wallet.at_terminal("address", answers=[PASSPHRASE])
    assert status == 0 and ADDRESS in seen and not shows_secrets(seen)
    status, seen = wallet.at_terminal("encrypt", answers=[PASSPHRASE, "second", "second"])
    assert status == 0 and "second" not in seen and not shows_secrets(seen)
    status, seen = wallet.at_terminal("decrypt", answers=[PASSPHRASE])
    assert status == 1 and "the passphrase is wrong" in seen
    status, seen = wallet.at_terminal("decrypt", answers=["second"])
    assert status == 0 and "keys.json is plain now" in seen
    assert wallet.ok("address") == f"{ADDRESS}\n"


@pytest.mark.parametrize("answers", [[PASSPHRASE, "another"], [""], [PASSPHRASE, ""]])
def test_a_passphrase_that_is_not_entered_twice_changes_nothing(wallet: Project, answers: list[str]) -> None:
    before = wallet.key_path.read_text()
    status, seen = wallet.at_terminal("encrypt", answers=answers)
    assert status == 1 and not shows_secrets(seen)
    assert wallet.key_path.read_text() == before


def test_a_new_passphrase_has_to_be_entered_by_somebody(wallet: Project) -> None:
    assert "needs a terminal, or PAYPERCALL_PASSPHRASE" in wallet.fails("encrypt")
    wallet.ok("encrypt", environment=WITH_PASSPHRASE)
    assert "needs a terminal\n" in wallet.fails("encrypt", environment=WITH_PASSPHRASE)


@pytest.mark.parametrize("command", ["encrypt", "decrypt"])
def test_where_there_is_no_key_file_none_is_made(project: Project, command: str) -> None:
    assert "there is no such file" in project.fails(command, environment=WITH_PASSPHRASE)
    assert not project.key_path.exists()


def test_without_the_extra_it_says_how_to_get_it(wallet: Project) -> None:
    script = """
import sys
sys.modules["cryptography"] = None  # as if it were not installed
from paypercall.cli import main
sys.exit(main(["wallet", "encrypt"]))
"""
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=wallet.folder,
        env=WITH_PASSPHRASE,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    expected = "paypercall: an encrypted key file needs cryptography: pip install 'paypercall[encryption]'\n"
    assert (result.returncode, result.stdout, result.stderr) == (1, "", expected)
    assert WORDS in wallet.key_path.read_text()


# --- a backup ---


def test_a_backup_says_what_to_keep_and_what_the_words_do_not_bring_back(wallet: Project) -> None:
    printed = wallet.ok("backup")
    assert not shows_secrets(printed)
    for part in (str(wallet.key_path), str(wallet.folder / "paypercall.sqlite"), ".env", "do not bring back"):
        assert part in printed
    elsewhere = {
        "PAYPERCALL_MNEMONIC": WORDS,
        "PAYPERCALL_DATABASE_URL": "postgresql://me:hush@localhost/books",
    }
    printed = wallet.ok("backup", environment=elsewhere)
    assert "PAYPERCALL_MNEMONIC" in printed and "database_url" in printed
    assert "hush" not in printed and not shows_secrets(printed)


def test_the_words_are_shown_at_a_terminal_or_where_that_is_insisted_on(wallet: Project) -> None:
    refusal = wallet.fails("backup", "--show-words")
    assert "at a terminal only" in refusal and not shows_secrets(refusal)
    assert wallet.ok("backup", "--show-words", "--force") == f"{WORDS}\n"
    assert wallet.at_terminal("backup", "--show-words") == (0, f"{WORDS}\n")
    wallet.ok("encrypt", environment=WITH_PASSPHRASE)
    status, seen = wallet.at_terminal("backup", "--show-words", answers=[PASSPHRASE])
    assert status == 0 and seen.endswith(f"{WORDS}\n") and PASSPHRASE not in seen


def test_to_look_at_a_backup_makes_no_wallet(project: Project) -> None:
    assert "there is no such file" in project.fails("backup", "--show-words", "--force")
    project.ok("backup")
    assert not project.key_path.exists()


# --- restoring ---


def test_a_wallet_without_channels_is_restored(net: Devnet, project: Project) -> None:
    words = new_mnemonic()
    address = key_from_mnemonic(words).address
    net.fund(address, 5_000)
    net.settle()
    printed = project.ok("restore", given=f"  {words.replace(' ', '   ')}\n")
    assert printed == (
        f"The wallet {address} is back: {project.key_path} is written.\nThe ledger shows no channels of it.\n"
    )
    assert stat.S_IMODE(project.key_path.stat().st_mode) == 0o600
    assert project.ok("balance") == "base: 5000 stable, 0 pending\n"


def test_the_words_are_asked_for_without_echo_and_encrypted_if_there_is_a_passphrase(
    project: Project,
) -> None:
    status, seen = project.at_terminal("restore", answers=[WORDS], environment=WITH_PASSPHRASE)
    assert status == 0 and ADDRESS in seen and not shows_secrets(seen)
    assert not shows_secrets(project.key_path.read_text())
    assert project.ok("address", environment=WITH_PASSPHRASE) == f"{ADDRESS}\n"


@pytest.mark.parametrize(
    "content",
    [json.dumps({"mnemonic": new_mnemonic()}), "damaged", ""],
    ids=["another wallet's", "damaged", "empty"],
)
def test_a_key_file_that_is_there_is_never_overwritten(project: Project, content: str) -> None:
    project.key_path.touch(0o600)
    project.key_path.write_text(content)
    assert "is there already" in project.fails("restore", given="")  # before the words are asked for
    assert "is there already" in project.fails("restore", given=WORDS)
    assert project.key_path.read_text() == content


@pytest.mark.parametrize(
    "given, reason",
    [
        ("", "no words were entered"),
        ("\n", "no words were entered"),
        (WORDS.replace("yellow", "year"), "the checksum of the mnemonic is wrong"),
        ("sausage", "3 to 48"),
        ("sausage sausage sausagf", "is in no word list"),
    ],
)
def test_words_that_are_none_are_refused_without_being_repeated(
    project: Project, given: str, reason: str
) -> None:
    line = project.fails("restore", given=given)
    assert reason in line and not shows_secrets(line)
    assert sorted(path.name for path in project.folder.iterdir()) == [".env"]


def test_a_mnemonic_in_the_environment_would_win_over_the_restored_one(project: Project) -> None:
    line = project.fails("restore", given=WORDS, environment={"PAYPERCALL_MNEMONIC": new_mnemonic()})
    assert "PAYPERCALL_MNEMONIC is set" in line
    assert not project.key_path.exists()


def test_a_database_of_another_wallet_is_left_alone_and_nothing_is_written(project: Project) -> None:
    project.ok("consolidate")
    project.key_path.unlink()
    line = project.fails("restore", given=WORDS)
    assert "the database belongs to the wallet" in line
    assert not project.key_path.exists()


def lose_everything(project: Project, party: Server | Client) -> None:
    party.close_node()
    party.wallet.close()
    for path in project.folder.iterdir():
        if path.name != ".env":
            path.unlink()


def test_a_merchants_channels_are_found_again_and_only_confirmed_until_their_next_period(
    net: Devnet, project: Project, tmp_path: Path
) -> None:
    words = new_mnemonic()
    key = key_from_mnemonic(words)
    merchant = Server(wallet=wallet_on(net, key), conf=conf_for(net, project.folder))
    with customer_on(net, tmp_path / "customer", merchant.address) as customer:
        with merchant:
            pay(customer, merchant, 10_000)
            wait_until_open(customer, merchant)
        net.settle()
        lose_everything(project, merchant)
        printed = project.ok("restore", given=words)
        assert (
            f"{customer.aa_address} with {customer.address}: period 1 open, only to be confirmed;"
            " base: 0 deposited by this side, 100000 by the peer\n"
        ) in printed
        assert "that is lost" in printed and "only confirms a close of\nthe peer" in printed
        assert words not in printed
        again = Server(wallet=wallet_on(net, key, funds=0), conf=conf_for(net, project.folder))
        with again:
            (channel,) = again.channels()
            assert channel.is_distrusted
            refused = again.verify_payment_package(customer.create_payment_package(1_000))
            assert refused.code == "channel_restored"
            customer.sweep()
            wait_until(lambda: customer.balance().period == 2, "the period has ended")
            # The package of a known channel does not announce it: it is known from the ledger alone.
            pay(customer, again, 1_000)
        again.wallet.close()
    customer.wallet.close()


def test_a_customers_channels_are_found_again(net: Devnet, project: Project, tmp_path: Path) -> None:
    words = new_mnemonic()
    key = key_from_mnemonic(words)
    merchant = Server(wallet=wallet_on(net), conf=conf_for(net, tmp_path / "merchant"))
    with merchant:
        conf = conf_for(net, project.folder)
        customer = Client(merchant.address, wallet=wallet_on(net, key), conf=conf)
        with customer:
            pay(customer, merchant, 10_000)
            wait_until_open(customer, merchant)
            aa_address = customer.aa_address
        net.settle()
        lose_everything(project, customer)
        printed = project.ok("restore", given=words)
        assert (
            f"{aa_address} with {merchant.address}: period 1 open, only to be confirmed; base: 100000"
            in printed
        )
        # The node of the restored wallet confirms what the merchant claims.
        again = Client(
            merchant.address, wallet=wallet_on(net, key, funds=0), conf=conf_for(net, project.folder)
        )
        with again:
            merchant.sweep(aa_address)
            wait_until(lambda: len(merchant.settled_periods()) == 1, "the customer has confirmed")
            (period,) = merchant.settled_periods()
            assert (period.accepted_from_peer, period.is_fraud_proven) == (10_000, False)
            assert [channel.status for channel in merchant.channels()] == [Status.CLOSED]
        again.wallet.close()
    merchant.wallet.close()


def test_where_only_the_key_file_was_lost_nothing_is_forgotten(
    net: Devnet, project: Project, tmp_path: Path
) -> None:
    words = new_mnemonic()
    key = key_from_mnemonic(words)
    merchant = Server(wallet=wallet_on(net, key), conf=conf_for(net, project.folder))
    with merchant, customer_on(net, tmp_path / "customer", merchant.address) as customer:
        pay(customer, merchant, 10_000)
        wait_until_open(customer, merchant)
    customer.wallet.close()
    merchant.wallet.close()
    printed = project.ok("restore", given=words)
    assert "period 1 open; base:" in printed
    assert "is lost" not in printed
