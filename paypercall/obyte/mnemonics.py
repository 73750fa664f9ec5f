"""BIP39 mnemonics: making them, checking them, and the seed that follows from one.

The words are the money: they never appear in an error. Which words count as valid follows the Obyte wallets. Where a
mnemonic is kept is the business of `key_file`.
"""

from __future__ import annotations

import hashlib
from functools import cache

from mnemonic import Mnemonic

from paypercall.obyte.errors import InvalidMnemonic

MNEMONIC_VARIABLE = "PAYPERCALL_MNEMONIC"

_LANGUAGES = ("english", "japanese", "spanish", "chinese_simplified", "french", "italian")  # the wallets'
_WORD_BITS = 11
_WORDS_PER_CHECKSUM_BIT = 3
_LARGEST_WORD_COUNT = 48


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
