"""BIP39 mnemonics: checking them, making them, and the one file that may hold one.

The words are the money: they never appear in an error, a log or a repr, an existing file is never
overwritten, and a file that other users can read is refused. Which words count as valid follows the Obyte
wallets.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from mnemonic import Mnemonic

from paypercall.obyte.errors import InvalidMnemonic, KeyFileError

MNEMONIC_VARIABLE = "PAYPERCALL_MNEMONIC"

_LANGUAGES = ("english", "japanese", "spanish", "chinese_simplified", "french", "italian")  # the wallets'
_WORD_BITS = 11
_WORDS_PER_CHECKSUM_BIT = 3
_LARGEST_WORD_COUNT = 48
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def new_mnemonic() -> str:
    """Returns a fresh mnemonic of 12 English words."""
    return Mnemonic("english").generate(strength=128)


def check_mnemonic(mnemonic: str) -> None:
    """Checks the words and their checksum as the wallets do: after NFKD, case matters, spaces are single.

    Raises:
        InvalidMnemonic: The wallets would refuse it, too.
    """
    words = Mnemonic.normalize_string(mnemonic).split(" ")
    if len(words) % _WORDS_PER_CHECKSUM_BIT or len(words) > _LARGEST_WORD_COUNT:
        raise InvalidMnemonic("a mnemonic has 12 or 24 words (3 to 48 in steps of 3), single spaces between")
    lists = [numbers for numbers in map(_word_numbers, _LANGUAGES) if all(word in numbers for word in words)]
    if not lists:
        raise InvalidMnemonic("a word of the mnemonic is in no word list (lower case, single spaces between)")
    if not any(_checksum_fits([numbers[word] for word in words]) for numbers in lists):
        raise InvalidMnemonic("the checksum of the mnemonic is wrong: a word is mistyped or out of order")


def mnemonic_seed(mnemonic: str, passphrase: str = "") -> bytes:
    """Returns the 64-byte BIP39 seed of a valid mnemonic.

    Raises:
        InvalidMnemonic: The wallets would refuse the mnemonic, too.
    """
    check_mnemonic(mnemonic)
    return bytes(Mnemonic.to_seed(mnemonic, passphrase))


def load_mnemonic(path: Path, environment: Mapping[str, str]) -> str:
    """Returns the wallet's mnemonic: the environment's, else the file's, made on the first run.

    Processes that start at the same time end up with the same mnemonic.

    Args:
        path: Where the key file is or shall be: `{"mnemonic": "..."}`, mode 0600.
        environment: Usually `os.environ`; `PAYPERCALL_MNEMONIC` wins, and is an error if set but empty,
            because a fresh wallet in its place would hide the mistake.

    Raises:
        InvalidMnemonic: The environment's mnemonic is invalid.
        KeyFileError: The file is damaged, of an unknown version, open to other users, or cannot be read or
            written.
    """
    given = environment.get(MNEMONIC_VARIABLE)
    if given is not None:
        try:
            check_mnemonic(given)
        except InvalidMnemonic as error:
            raise InvalidMnemonic(f"{MNEMONIC_VARIABLE}: {error}") from None
        return given
    try:
        if not path.exists():
            _create_key_file(path, new_mnemonic())
        return _read_key_file(path)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be used: {error.strerror}") from error


def _create_key_file(path: Path, mnemonic: str) -> None:
    """Makes the file appear whole and durable, or leaves the one that another process made meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # of mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump({"mnemonic": mnemonic}, file)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)  # unlike a rename, never replaces a file
    finally:
        os.unlink(temporary)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_key_file(path: Path) -> str:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & _OPEN_TO_OTHERS:
            raise KeyFileError(f"{path} can be read by other users; run: chmod 600 {path}")
        content = _parse(file.read())
    # Errors are raised out of any except block: a JSON error would carry the whole text along.
    if isinstance(content, dict) and "version" in content:
        raise KeyFileError(f"{path} is of a version that this release does not know")
    mnemonic = content.get("mnemonic") if isinstance(content, dict) else None
    if not isinstance(mnemonic, str):
        raise KeyFileError(f"{path} is damaged and was left as it is: restore a backup or move it away")
    try:
        check_mnemonic(mnemonic)
    except InvalidMnemonic as error:
        raise KeyFileError(f"{path} was left as it is: {error}") from None
    return mnemonic


def _parse(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


@cache
def _word_numbers(language: str) -> dict[str, int]:
    words = (Mnemonic.normalize_string(word) for word in Mnemonic(language).wordlist)
    return {word: number for number, word in enumerate(words)}


def _checksum_fits(numbers: list[int]) -> bool:
    bits = "".join(format(number, f"0{_WORD_BITS}b") for number in numbers)
    checksum_length = len(numbers) // _WORDS_PER_CHECKSUM_BIT
    entropy = int(bits[:-checksum_length], 2).to_bytes((len(bits) - checksum_length) // 8, "big")
    digest_bits = format(int.from_bytes(hashlib.sha256(entropy).digest(), "big"), "0256b")
    return digest_bits[:checksum_length] == bits[-checksum_length:]
