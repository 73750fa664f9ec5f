"""Asks a person for secrets, without echo; what stands in the environment or in `.env` is not asked for."""

from __future__ import annotations

import getpass
import sys

from paypercall.conf import Conf, load_environment
from paypercall.errors import PaypercallError
from paypercall.obyte.key_file import PASSPHRASE_VARIABLE, KeyFile, passphrase_in
from paypercall.obyte.mnemonics import MNEMONIC_VARIABLE


class NothingEntered(PaypercallError):
    """A secret was asked for and not given, or not twice the same."""

    code = "nothing_entered"


def is_at_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()


def key_file_of(conf: Conf) -> KeyFile:
    """The key file of the conf."""
    return KeyFile(conf.keys_path, conf.network_constants().name)


def environment_for(conf: Conf) -> dict[str, str]:
    """The project's environment, with the passphrase that was asked for if the key file needs one.

    Raises:
        NothingEntered: It was not given.
        KeyFileError: The key file cannot be used.
    """
    environment = load_environment()
    file = key_file_of(conf)
    is_known = MNEMONIC_VARIABLE in environment or PASSPHRASE_VARIABLE in environment
    if not is_known and is_at_terminal() and file.exists() and file.is_encrypted():
        environment[PASSPHRASE_VARIABLE] = ask(f"Passphrase of {file.path}: ")
    return environment


def passphrase_of(file: KeyFile) -> str | None:
    """The passphrase of a key file: the environment's, or the one that was asked for; None if there is none.

    Raises:
        NothingEntered: It was not given.
        KeyFileError: The key file cannot be used.
    """
    passphrase = passphrase_in(load_environment())
    if passphrase is None and is_at_terminal() and file.is_encrypted():
        return ask(f"Passphrase of {file.path}: ")
    return passphrase


def ask_new_passphrase() -> str:
    """Asks for a new passphrase, twice.

    Raises:
        NothingEntered: Nothing, or not twice the same, was entered.
    """
    passphrase = ask("New passphrase: ")
    if ask("The same once more: ") != passphrase:
        raise NothingEntered("the two passphrases differ; nothing was changed")
    return passphrase


def ask_words() -> str:
    """Reads a mnemonic from standard input; at a terminal it is asked for.

    Raises:
        NothingEntered: Nothing was entered.
    """
    text = ask("The words of the wallet: ") if is_at_terminal() else sys.stdin.readline()
    words = " ".join(text.split())
    if not words:
        raise NothingEntered("no words were entered")
    return words


def ask(prompt: str) -> str:
    """Asks for a text without echo.

    Raises:
        NothingEntered: Nothing was entered.
    """
    try:
        text = getpass.getpass(prompt)
    except EOFError:
        text = ""
    if not text:
        raise NothingEntered("nothing was entered")
    return text
