"""The commands `wallet …` about keys: a passphrase for the key file, what to back up, and restoring from the words.

The words are printed by one command only, when it is told to; nothing here prints a passphrase.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from paypercall.errors import PaypercallError

if TYPE_CHECKING:
    from paypercall.conf import Conf
    from paypercall.recovery import Recovered
    from paypercall.results import ChannelBalance

WHAT_IS_LOST = """\
The ledger does not tell what this wallet signed in these periods, nor what its peers signed last: that is lost, unless
the database is found. So until the period ends, this node neither signs nor closes there; it only confirms a close of
the peer, and cannot prove it if the peer lies. Ask the peers to close. From the next period on all is as it was."""

WHAT_TO_KEEP = """\
1. The words. They are in {keys}.
   `paypercall wallet backup --show-words` shows them. Whoever has them has the money. A copy of an encrypted keys.json
   is worth nothing without its passphrase.
2. The database, {database}: what this wallet and its peers have signed. A copy is out of date with the next payment.
   Never go back to an older one while channels are open; keep the database itself from being lost.
3. conf.py and .env.

The words alone bring back the address with all its coins, and the channels that the ledger shows
(`paypercall wallet restore`). They do not bring back, for the periods that are open, what this wallet signed and what
its peers signed last: there it can only confirm what a peer claims, until the next period. The record of all payments
is lost with the database, too."""


class WordsNotShown(PaypercallError):
    """The words would go into a file or a pipe."""

    code = "words_not_shown"


class NotEncrypted(PaypercallError):
    """There is no passphrase to take away."""

    code = "not_encrypted"


class MnemonicInEnvironment(PaypercallError):
    """The environment holds a mnemonic, which wins over any key file."""

    code = "mnemonic_in_environment"


def register(parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the commands to those of the wallet."""
    encrypt = parsers.add_parser(
        "encrypt",
        help="encrypt keys.json with a passphrase, or change it",
        description="Encrypts keys.json with PAYPERCALL_PASSPHRASE or, at a terminal, with a passphrase that is asked"
        " for. If it is encrypted already, the passphrase is changed to another one, at a terminal.",
    )
    encrypt.set_defaults(run=run_encrypt)
    decrypt = parsers.add_parser("decrypt", help="make keys.json plain again")
    decrypt.set_defaults(run=run_decrypt)

    backup = parsers.add_parser("backup", help="say what to keep, and what the words alone cannot bring back")
    backup.add_argument("--show-words", action="store_true", help="show the words of the wallet instead")
    backup.add_argument(
        "--force", action="store_true", help="show them even where standard output is no terminal"
    )
    backup.set_defaults(run=run_backup)

    restore = parsers.add_parser(
        "restore",
        help="bring a wallet back from its words",
        description="Reads the words of a wallet from standard input, writes keys.json, and takes up the channels that"
        " the ledger shows.",
    )
    restore.set_defaults(run=run_restore)


def run_encrypt(options: argparse.Namespace) -> int:
    """Gives the key file a passphrase, or another one."""
    from paypercall.cli import asking
    from paypercall.conf import load_conf, load_environment
    from paypercall.obyte.errors import KeyFileError
    from paypercall.obyte.key_file import PASSPHRASE_VARIABLE, passphrase_in

    file = asking.key_file_of(load_conf())
    old = asking.passphrase_of(file) if file.is_encrypted() else None
    new = passphrase_in(load_environment()) if old is None else None
    if new is None:
        if not asking.is_at_terminal():
            what = "a terminal" if old else f"a terminal, or {PASSPHRASE_VARIABLE}"
            raise KeyFileError(f"the new passphrase needs {what}", code="passphrase_missing")
        file.read(old)
        new = asking.ask_new_passphrase()
    file.change_passphrase(old, new)
    print(f"{file.path} is encrypted; without the passphrase only the words bring the wallet back")
    return 0


def run_decrypt(options: argparse.Namespace) -> int:
    """Takes the passphrase away from the key file."""
    from paypercall.cli import asking
    from paypercall.conf import load_conf

    file = asking.key_file_of(load_conf())
    if not file.is_encrypted():
        raise NotEncrypted(f"{file.path} is not encrypted")
    file.change_passphrase(asking.passphrase_of(file), None)
    print(f"{file.path} is plain now: whoever can read it has the money")
    return 0


def run_backup(options: argparse.Namespace) -> int:
    """Says what to keep, or shows the words."""
    from paypercall.conf import load_conf

    conf = load_conf()
    if not options.show_words:
        print(WHAT_TO_KEEP.format(keys=_place_of_words(conf), database=_place_of_books(conf)))
        return 0
    if not sys.stdout.isatty() and not options.force:
        raise WordsNotShown("the words are shown at a terminal only; --force shows them here, too")
    print(_words(conf))
    return 0


def run_restore(options: argparse.Namespace) -> int:
    """Writes the key file from the words, and takes up the channels that the ledger shows."""
    from paypercall.cli.asking import ask_words, key_file_of
    from paypercall.conf import load_conf, load_environment
    from paypercall.obyte.key_file import passphrase_in
    from paypercall.obyte.mnemonics import MNEMONIC_VARIABLE
    from paypercall.recovery import require_no, restore

    conf, environment = load_conf(), load_environment()
    if MNEMONIC_VARIABLE in environment:
        raise MnemonicInEnvironment(
            f"{MNEMONIC_VARIABLE} is set and wins over any key file: remove it from the environment or .env first"
        )
    require_no(key_file_of(conf))  # before anybody types the words
    recovered = restore(conf, ask_words(), passphrase_in(environment))
    print("\n".join(_describe(conf, recovered)))
    return 0


def _words(conf: Conf) -> str:
    from paypercall.cli.asking import environment_for, key_file_of
    from paypercall.obyte.key_file import load_mnemonic
    from paypercall.obyte.mnemonics import MNEMONIC_VARIABLE

    environment, file = environment_for(conf), key_file_of(conf)
    if MNEMONIC_VARIABLE not in environment:
        file.is_encrypted()  # it must be there: to look at a backup must not make a wallet
    return load_mnemonic(conf.keys_path, environment, conf.network_constants().name)


def _place_of_words(conf: Conf) -> str:
    from paypercall.conf import load_environment
    from paypercall.obyte.mnemonics import MNEMONIC_VARIABLE

    if MNEMONIC_VARIABLE in load_environment():
        return f"{MNEMONIC_VARIABLE}, in the environment or in .env"
    return str(conf.keys_path)


def _place_of_books(conf: Conf) -> str:
    path = conf.database_url.removeprefix("sqlite:///")
    return path if path != conf.database_url else "which database_url names"


def _describe(conf: Conf, recovered: Recovered) -> list[str]:
    lines = [f"The wallet {recovered.address} is back: {conf.keys_path} is written."]
    if not recovered.channels:
        return [*lines, "The ledger shows no channels of it."]
    lines += ["Its channels, as the ledger shows them:", *map(_describe_channel, recovered.channels)]
    if not recovered.is_complete:
        lines.append(
            "Not all of them could be followed to the end in time; the node goes on with it when it runs."
        )
    if any(channel.is_distrusted for channel in recovered.channels):
        lines += ["", WHAT_IS_LOST]
    return lines


def _describe_channel(channel: ChannelBalance) -> str:
    deposits = f"{channel.deposited_by_me} deposited by this side, {channel.deposited_by_peer} by the peer"
    mode = ", only to be confirmed" if channel.is_distrusted else ""
    return (
        f"  {channel.aa_address} with {channel.peer_address}: period {channel.period} {channel.status.value}{mode};"
        f" {channel.asset}: {deposits}"
    )
