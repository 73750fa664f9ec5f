"""Keys, signatures and mnemonics against the wallets'."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mnemonic import Mnemonic

from paypercall.obyte.address import is_valid_address
from paypercall.obyte.canonical import json_source_string, source_string
from paypercall.obyte.errors import InvalidMnemonic, InvalidPrivateKey
from paypercall.obyte.keys import (
    Key,
    decode_base64,
    derive_key,
    device_key_from_mnemonic,
    key_from_mnemonic,
    verify_signature,
)
from paypercall.obyte.mnemonics import check_mnemonic, mnemonic_seed, new_mnemonic
from tests.vectors import Case, failing, has_tag, load_cases

KEY = Key(bytes(range(1, 33)))
DIGEST = hashlib.sha256(b"what is signed").digest()
SIGNATURE = KEY.sign(DIGEST)
GROUP_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

digests = st.binary(min_size=32, max_size=32)
private_keys = st.integers(1, GROUP_ORDER - 1).map(lambda number: number.to_bytes(32, "big"))


def base64_of(data: bytes) -> str:
    return b64encode(data).decode()


def wallets(*, valid: bool) -> tuple[Case, ...]:
    return tuple(case for case in load_cases("keys.json") if ("error" in case) is not valid)


def test_every_golden_wallet_has_its_keys_and_addresses() -> None:
    def passes(case: Case) -> bool:
        for wanted in [address for account in case["accounts"] for address in account["addresses"]]:
            key = derive_key(case["mnemonic"], wanted["path"], case["passphrase"])
            found = (key.private_key.hex(), key.public_key, key.definition, key.address)
            if found != (wanted["priv_hex"], wanted["pubkey"], wanted["definition"], wanted["address"]):
                return False
        return True

    assert failing(wallets(valid=True), passes) == []


def test_every_golden_wallets_first_address_and_device_are_found() -> None:
    def passes(case: Case) -> bool:
        addresses = [address for account in case["accounts"] for address in account["addresses"]]
        first = next(address for address in addresses if address["path"] == "m/44'/0'/0'/0/0")
        device = device_key_from_mnemonic(case["mnemonic"], case["passphrase"])
        return (
            key_from_mnemonic(case["mnemonic"], case["passphrase"]).address == first["address"]
            and device.private_key.hex() == case["device"]["priv_hex"]
            and device.public_key == case["device"]["pubkey"]
            and mnemonic_seed(case["mnemonic"], case["passphrase"]).hex() == case["seed_hex"]
        )

    assert failing(wallets(valid=True), passes) == []


@pytest.mark.parametrize("step", ["master", "purpose", "coin", "account", "address", "device"])
def test_the_golden_wallets_have_a_private_key_with_a_leading_zero_byte_at_each_step(step: str) -> None:
    """Where the step after it is a hardened one, the wallets' addresses are not those of BIP32."""
    found = [case for case in wallets(valid=True) if has_tag(case, f"leading_zero_{step}")]
    assert found
    if step in ("master", "purpose", "coin"):
        assert not any(case["bip32_standard"] for case in found)


def test_every_golden_mnemonic_that_the_wallets_refuse_is_refused_without_being_repeated() -> None:
    def passes(case: Case) -> bool:
        try:
            key_from_mnemonic(case["mnemonic"], case["passphrase"])
        except InvalidMnemonic as refusal:
            rare_words = set(case["mnemonic"].split()) - {"will"}
            return not rare_words & set(re.findall(r"\w+", str(refusal)))
        return False

    assert failing(wallets(valid=False), passes) == []


@pytest.mark.parametrize(
    "language", ["english", "japanese", "spanish", "chinese_simplified", "french", "italian"]
)
@pytest.mark.parametrize("word_count", [3, 6, 12, 24, 48])
def test_every_language_and_length_of_the_wallets_is_taken(language: str, word_count: int) -> None:
    entropy = hashlib.sha512(language.encode()).digest()[: word_count * 4 // 3]
    checksum_length = word_count // 3
    bits = "".join(format(byte, "08b") for byte in entropy + hashlib.sha256(entropy).digest())
    bits = bits[: len(entropy) * 8 + checksum_length]
    wordlist = Mnemonic(language).wordlist
    separator = "\u3000" if language == "japanese" else " "  # becomes a plain space by NFKD
    words = separator.join(wordlist[int(bits[i : i + 11], 2)] for i in range(0, len(bits), 11))
    check_mnemonic(words)
    assert is_valid_address(key_from_mnemonic(words).address)


def test_a_mnemonic_of_51_words_is_refused() -> None:
    with pytest.raises(InvalidMnemonic, match="words"):
        check_mnemonic(" ".join(["abandon"] * 51))


def test_a_new_mnemonic_has_twelve_valid_words_and_is_never_the_same() -> None:
    made = {new_mnemonic() for _ in range(5)}
    assert len(made) == 5
    for words in made:
        check_mnemonic(words)
        assert len(words.split(" ")) == 12


def test_every_golden_signature_is_made_again() -> None:
    def passes(case: Case) -> bool:
        digest = bytes.fromhex(case["hash_hex"])
        try:
            signature = Key(bytes.fromhex(case["priv_hex"])).sign(digest)
        except ValueError:
            return "error" in case["signature"]
        # For a digest beyond the group order, backends choose different nonces: both signatures are valid.
        wanted = (case["signature"].get("ok"), case.get("signature_elliptic_backend", {}).get("ok"))
        return signature in wanted and verify_signature(digest, signature, case["pubkey"])

    assert failing(load_cases("signatures.json", "sign"), passes) == []


def test_every_golden_verification_has_the_real_cores_result() -> None:
    def passes(case: Case) -> bool:
        digest = bytes.fromhex(case["hash_hex"])
        return verify_signature(digest, case["signature"], case["pubkey"]) is case["verify"]["ok"]

    texts = tuple(case for case in load_cases("signatures.json", "verify") if not has_tag(case, "byte_array"))
    assert failing(texts, passes) == []


def test_no_golden_signature_or_key_that_is_no_text_is_taken() -> None:
    def passes(case: Case) -> bool:
        return not verify_signature(bytes.fromhex(case["hash_hex"]), case["signature"], case["pubkey"])

    arrays = tuple(case for case in load_cases("signatures.json", "verify") if has_tag(case, "byte_array"))
    assert failing(arrays, passes) == []


def test_every_golden_base64_text_is_decoded_as_node_does() -> None:
    def passes(case: Case) -> bool:
        return decode_base64(case["input"]).hex() == case["hex"]

    assert failing(load_cases("signatures.json", "base64_decode"), passes) == []


def test_every_golden_package_has_its_digest_and_signature() -> None:
    def passes(case: Case) -> bool:
        package = case["package"]["ok"]
        authors = [
            {name: value for name, value in author.items() if name != "authentifiers"}
            for author in package["authors"]
        ]
        is_old = package.get("version", "1.0").startswith("1.0")
        text = (source_string if is_old else json_source_string)({**package, "authors": authors})
        digest = hashlib.sha256(text.encode()).digest()
        keys = case.get("priv_hex_by_path") or {"r": case["priv_hex"]}
        signatures = {path: Key(bytes.fromhex(key)).sign(digest) for path, key in keys.items()}
        return (digest.hex(), signatures) == (
            case["hash_to_sign_hex"]["ok"],
            package["authors"][0]["authentifiers"],
        )

    packages = tuple(case for case in load_cases("signed_package.json", "sign") if "ok" in case["package"])
    assert failing(packages, passes) == []


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_digest_of_another_length_is_neither_signed_nor_verified(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        KEY.sign(bytes(length))
    assert not verify_signature(bytes(length), SIGNATURE, KEY.public_key)


@pytest.mark.parametrize("private_key", [b"", bytes(32), bytes(31), b"\xff" * 32, bytes(33)])
def test_bytes_that_are_no_private_key_are_refused(private_key: bytes) -> None:
    with pytest.raises(InvalidPrivateKey):
        Key(private_key)


def test_the_other_half_of_a_signature_is_refused() -> None:
    compact = decode_base64(SIGNATURE)
    high_s = GROUP_ORDER - int.from_bytes(compact[32:], "big")
    malleated = compact[:32] + high_s.to_bytes(32, "big")
    assert verify_signature(DIGEST, SIGNATURE, KEY.public_key)
    assert not verify_signature(DIGEST, base64_of(malleated), KEY.public_key)


def test_a_keys_repr_tells_nothing_secret() -> None:
    assert KEY.public_key in repr(KEY)
    for secret in (KEY.private_key.hex(), repr(KEY.private_key)):
        assert secret not in repr(KEY)


def test_a_definition_that_somebody_changes_leaves_the_key_as_it_was() -> None:
    KEY.definition[1]["pubkey"] = "another"
    assert KEY.definition == ["sig", {"pubkey": KEY.public_key}]


@settings(max_examples=60, deadline=None)
@given(private_keys, digests)
def test_what_a_key_signs_verifies_under_it_alone(private_key: bytes, digest: bytes) -> None:
    key = Key(private_key)
    signature = key.sign(digest)
    assert len(signature) == 88
    assert verify_signature(digest, signature, key.public_key)
    assert private_key == KEY.private_key or not verify_signature(digest, signature, KEY.public_key)


def flip(data: bytes, bit: int) -> bytes:
    return (int.from_bytes(data, "big") ^ (1 << bit)).to_bytes(len(data), "big")


def test_a_single_flipped_bit_breaks_a_signature() -> None:
    compact, public_key = decode_base64(SIGNATURE), decode_base64(KEY.public_key)
    assert verify_signature(DIGEST, SIGNATURE, KEY.public_key)
    for bit in range(8 * len(compact)):
        assert not verify_signature(DIGEST, base64_of(flip(compact, bit)), KEY.public_key), bit
    for bit in range(8 * len(DIGEST)):
        assert not verify_signature(flip(DIGEST, bit), SIGNATURE, KEY.public_key), bit
    for bit in range(8 * len(public_key)):
        assert not verify_signature(DIGEST, SIGNATURE, base64_of(flip(public_key, bit))), bit


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=())) | st.none() | st.integers(), st.text() | st.none())
def test_nothing_makes_the_verification_raise(signature: Any, public_key: Any) -> None:
    assert verify_signature(DIGEST, signature, KEY.public_key) in (True, False)
    assert verify_signature(DIGEST, SIGNATURE, public_key) in (True, False)
