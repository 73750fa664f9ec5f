"""A key file with a passphrase: whoever lacks it reads and changes nothing, and a change never loses the words."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paypercall.obyte import encryption, key_file
from paypercall.obyte.errors import KeyFileError
from paypercall.obyte.key_file import KeyFile, load_mnemonic

WORDS = "legal winner thank year wave sausage worth useful legal winner thank yellow"
PASSPHRASE = "open sesame"
NETWORK = "livenet"

# As this release wrote it: what later ones must be able to open.
WRITTEN_ONCE = """{
 "version": 2,
 "network": "livenet",
 "kdf": "scrypt",
 "n": 1024,
 "r": 8,
 "p": 1,
 "salt": "8iSqd5gK8c930L2rzSBENw==",
 "cipher": "AES-256-GCM",
 "nonce": "rpeW/hEc6L0xsnb6",
 "ciphertext": "hAdjj4Y1dMB5gr21VJSacSKm0VdzPjSzHoDEXv7k8+s0xVfJM1ryu/q30O+yoEE8ceI9UQ0Lwo/LHvTK\
DXGqkVQb4rH/wlPh+ymOKknPZkUbnEo7ZcJy9iXnBA==",
 "checksum": "f0ca6d71f3e3de62e9e1ba1eb33e02a37be1e84b95a0f1b35e8859ead178d74a"
}"""


@pytest.fixture(autouse=True)
def low_cost(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "full_cost" not in request.fixturenames:
        monkeypatch.setattr(encryption, "COST", 2**10)


@pytest.fixture
def full_cost() -> None:
    """Has new files cost what they cost outside of tests."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An encrypted file."""
    path = tmp_path / "keys.json"
    KeyFile(path, NETWORK).create(WORDS, PASSPHRASE)
    return path


def refusal_of(call: Callable[[], Any]) -> KeyFileError:
    """What a call raises, after a look for secrets in all that a log would show of it."""
    with pytest.raises(KeyFileError) as caught:
        call()
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    for secret in (*WORDS.split(), PASSPHRASE):
        assert secret not in shown.replace("test_", "")
    assert "\n" not in str(caught.value)
    return caught.value


def rewrite(path: Path, with_checksum: bool, **fields: Any) -> None:
    """Changes fields of a file, as somebody who can write it, and knows how it is made, may do."""
    content = {**json.loads(path.read_text()), **fields}
    content = {name: value for name, value in content.items() if value is not None}
    if with_checksum:
        content.pop("checksum")
        content["checksum"] = key_file._checksum(content)
    path.write_text(json.dumps(content))


def changed(value: str | int) -> str | int:
    """Another value that looks as good."""
    if isinstance(value, int):
        return value * 2
    middle = len(value) // 2
    return value[:middle] + ("A" if value[middle] != "A" else "B") + value[middle + 1 :]


def test_the_first_run_with_a_passphrase_makes_an_encrypted_file_for_its_owner_only(
    tmp_path: Path, full_cost: None
) -> None:
    path = tmp_path / "keys.json"
    environment = {"PAYPERCALL_PASSPHRASE": PASSPHRASE}
    words = load_mnemonic(path, environment, NETWORK)
    content = path.read_text()
    assert not any(f"{word} " in content for word in words.split())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    fields = json.loads(content)
    assert (fields["kdf"], fields["n"], fields["r"], fields["p"]) == ("scrypt", 131_072, 8, 1)
    assert KeyFile(path, NETWORK).is_encrypted()
    assert load_mnemonic(path, environment, NETWORK) == words
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_was_written_once_can_always_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.touch(0o600)
    path.write_text(WRITTEN_ONCE)
    assert KeyFile(path, NETWORK).read(PASSPHRASE) == WORDS


def test_two_files_of_the_same_words_and_passphrase_have_nothing_secret_in_common(tmp_path: Path) -> None:
    fields = []
    for name in ("one.json", "two.json"):
        KeyFile(tmp_path / name, NETWORK).create(WORDS, PASSPHRASE)
        fields.append(json.loads((tmp_path / name).read_text()))
    for name in ("salt", "nonce", "ciphertext"):
        assert fields[0][name] != fields[1][name]


@pytest.mark.parametrize(
    "passphrase", ["", "open sesam", "Open sesame", "open sesame ", "\udcff", "x" * 100_000]
)
def test_a_wrong_passphrase_is_named_so(path: Path, passphrase: str) -> None:
    before = path.read_bytes()
    assert refusal_of(lambda: KeyFile(path, NETWORK).read(passphrase)).code == "passphrase_wrong"
    assert path.read_bytes() == before


def test_without_a_passphrase_it_says_where_one_is_expected(path: Path) -> None:
    refusal = refusal_of(lambda: load_mnemonic(path, {}, NETWORK))
    assert refusal.code == "passphrase_missing"
    assert "PAYPERCALL_PASSPHRASE" in str(refusal)


def test_a_passphrase_that_is_set_but_empty_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    refusal = refusal_of(lambda: load_mnemonic(path, {"PAYPERCALL_PASSPHRASE": ""}, NETWORK))
    assert refusal.code == "passphrase_missing"
    assert list(tmp_path.iterdir()) == []


def test_the_same_passphrase_from_another_keyboard_opens_the_file(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json", NETWORK)
    file.create(WORDS, "Ho\u0308he\udcff")
    assert file.read("H\u00f6he\udcff") == WORDS


@pytest.mark.parametrize(
    "field", ["version", "network", "kdf", "n", "r", "p", "salt", "cipher", "nonce", "ciphertext", "checksum"]
)
def test_a_changed_or_missing_field_is_damage(path: Path, field: str) -> None:
    value = json.loads(path.read_text())[field]
    original = path.read_text()
    for changed_value in (changed(value), None, [value], 1.5):
        path.write_text(original)
        rewrite(path, with_checksum=False, **{field: changed_value})
        refusal = refusal_of(lambda: KeyFile(path, NETWORK).read(PASSPHRASE))
        # A file without a version is none of the encrypted ones, and has no words.
        expected = {"key_file_damaged", "key_file_version"} if field == "version" else {"key_file_damaged"}
        assert refusal.code in expected


@pytest.mark.parametrize(
    "field, code",
    [
        ("version", "key_file_version"),
        ("network", "wrong_network"),
        ("kdf", "key_file_damaged"),
        ("n", "passphrase_wrong"),
        ("r", "passphrase_wrong"),
        ("p", "passphrase_wrong"),
        ("salt", "passphrase_wrong"),
        ("cipher", "key_file_damaged"),
        ("nonce", "passphrase_wrong"),
        ("ciphertext", "passphrase_wrong"),
    ],
)
def test_a_field_that_was_tampered_with_skilfully_opens_nothing(path: Path, field: str, code: str) -> None:
    rewrite(path, with_checksum=True, **{field: changed(json.loads(path.read_text())[field])})
    assert refusal_of(lambda: KeyFile(path, NETWORK).read(PASSPHRASE)).code == code


def test_what_stands_beside_the_words_is_sealed_with_them(path: Path) -> None:
    rewrite(path, with_checksum=True, network="testnet")
    assert refusal_of(lambda: KeyFile(path, "testnet").read(PASSPHRASE)).code == "passphrase_wrong"
    rewrite(path, with_checksum=True, network=NETWORK, note="harmless")
    assert refusal_of(lambda: KeyFile(path, NETWORK).read(PASSPHRASE)).code == "passphrase_wrong"


@pytest.mark.parametrize(
    "parameters",
    [
        {"n": 2**19},
        {"n": 2**60},
        {"n": 2**18, "r": 32},
        {"r": 2**20},
        {"r": 7},
        {"r": -8},
        {"p": 5},
        {"p": 2**30},
        {"p": 0},
        {"n": 0},
        {"n": 1},
        {"n": -(2**10)},
        {"n": 1000},
        {"n": "1024"},
        {"salt": ""},
        {"salt": "AAAA"},
        {"salt": "?"},
        {"nonce": "AAAA"},
        {"nonce": 5},
        {"ciphertext": "A" * 40_000},
    ],
)
def test_parameters_beyond_the_limits_are_refused_before_any_memory_is_taken(
    path: Path, parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def derive(*_: Any) -> bytes:
        raise AssertionError("the key must not be derived")

    rewrite(path, with_checksum=True, **parameters)
    monkeypatch.setattr(encryption, "_derive_key", derive)
    assert refusal_of(lambda: KeyFile(path, NETWORK).read(PASSPHRASE)).code == "key_file_damaged"


def test_too_little_memory_is_said_and_is_no_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def derive(*_: Any) -> bytes:
        raise MemoryError

    monkeypatch.setattr(encryption, "_derive_key", derive)
    assert refusal_of(lambda: KeyFile(path, NETWORK).read(PASSPHRASE)).code == "key_file"


def test_a_file_that_is_cut_off_anywhere_is_damaged(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        assert refusal_of(lambda: KeyFile(path, NETWORK).read(PASSPHRASE)).code == "key_file_damaged"


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    field=st.sampled_from(
        ["version", "network", "n", "r", "p", "salt", "nonce", "ciphertext", "kdf", "more"]
    ),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5
    ),
    with_checksum=st.booleans(),
)
def test_nothing_in_a_file_makes_reading_it_fail_in_another_way(
    path: Path, field: str, value: Any, with_checksum: bool
) -> None:
    original = path.read_text()
    try:
        rewrite(path, with_checksum=with_checksum, **{field: value})
        if json.loads(path.read_text()) != json.loads(original):
            refusal_of(lambda: KeyFile(path, NETWORK).read(PASSPHRASE))
    finally:
        path.write_text(original)


def test_an_endless_file_is_not_read_to_its_end(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(10**12)
    assert refusal_of(lambda: KeyFile(path, NETWORK).read(PASSPHRASE)).code == "key_file_damaged"


def test_an_encrypted_file_that_others_can_read_is_refused_too(path: Path) -> None:
    path.chmod(0o640)
    refusal = refusal_of(lambda: KeyFile(path, NETWORK).read(PASSPHRASE))
    assert refusal.code == "key_file_open_to_others"
    assert "chmod 600" in str(refusal)


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_a_wallet_of_another_network_is_refused_in_one_line(tmp_path: Path, passphrase: str | None) -> None:
    path = tmp_path / "keys.json"
    KeyFile(path, "testnet").create(WORDS, passphrase)
    refusal = refusal_of(lambda: KeyFile(path, NETWORK).read(passphrase))
    assert refusal.code == "wrong_network"
    assert "is a wallet of testnet, the conf's network is livenet" in str(refusal)
    assert KeyFile(path, "testnet").read(passphrase) == WORDS


def test_a_plain_file_beside_a_passphrase_is_read_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys.json"
    KeyFile(path, NETWORK).create(WORDS)
    with caplog.at_level(logging.WARNING):
        assert load_mnemonic(path, {"PAYPERCALL_PASSPHRASE": PASSPHRASE}, NETWORK) == WORDS
    assert "paypercall wallet encrypt" in caplog.text
    assert PASSPHRASE not in caplog.text and "sausage" not in caplog.text


# --- another passphrase ---


def test_a_passphrase_is_added_changed_and_removed_and_the_words_stay(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json", NETWORK)
    file.create(WORDS)
    assert not file.is_encrypted()
    for old, new in [(None, "first"), ("first", "second"), ("second", None)]:
        file.change_passphrase(old, new)
        assert file.read(new) == WORDS
        assert file.is_encrypted() is (new is not None)
        assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
        assert list(tmp_path.iterdir()) == [file.path]


@pytest.mark.parametrize(
    "old, new, code", [("wrong", "new", "passphrase_wrong"), (PASSPHRASE, "", "passphrase_missing")]
)
def test_a_change_that_is_refused_leaves_the_file_as_it_was(
    path: Path, old: str, new: str, code: str
) -> None:
    before = path.read_bytes()
    assert refusal_of(lambda: KeyFile(path, NETWORK).change_passphrase(old, new)).code == code
    assert path.read_bytes() == before


def test_a_file_that_names_no_network_gets_that_of_the_conf_when_it_is_encrypted(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.touch(0o600)
    path.write_text(json.dumps({"mnemonic": WORDS}))
    KeyFile(path, "testnet").change_passphrase(None, PASSPHRASE)
    assert refusal_of(lambda: KeyFile(path, NETWORK).read(PASSPHRASE)).code == "wrong_network"


@pytest.mark.parametrize("step", ["fsync", "replace", "write"])
def test_a_disk_that_fails_at_any_step_leaves_the_old_file_and_nothing_else(
    path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    if step == "write":
        monkeypatch.setattr(key_file.tempfile, "mkstemp", fail)
    else:
        monkeypatch.setattr(os, step, fail)
    refusal = refusal_of(lambda: KeyFile(path, NETWORK).change_passphrase(PASSPHRASE, None))
    assert "No space left" in str(refusal)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_what_did_not_arrive_on_the_disk_never_takes_the_place_of_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes what is written and gives back something else."""
    really_sync = os.fsync

    def damage(descriptor: int) -> None:
        os.ftruncate(descriptor, 100)
        really_sync(descriptor)

    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", damage)
    refusal_of(lambda: KeyFile(path, NETWORK).change_passphrase(PASSPHRASE, "new"))
    assert path.read_bytes() == before


def test_a_power_cut_before_the_new_file_is_in_place_leaves_the_old_one(path: Path) -> None:
    """The new file is whole, durable and private by then."""
    script = f"""
import os, pathlib, signal, stat
from paypercall.obyte import encryption
from paypercall.obyte.key_file import KeyFile
encryption.COST = 2**10
really_sync, synced = os.fsync, []
def sync(descriptor):
    synced.append(os.fstat(descriptor).st_ino)
    really_sync(descriptor)
def cut(new, old):
    assert os.stat(new).st_ino in synced and stat.S_IMODE(os.stat(new).st_mode) == 0o600
    os.kill(os.getpid(), signal.SIGKILL)
os.fsync, os.replace = sync, cut
os.umask(0)
KeyFile(pathlib.Path({str(path)!r}), {NETWORK!r}).change_passphrase({PASSPHRASE!r}, "new")
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stderr) == (-9, "")
    assert KeyFile(path, NETWORK).read(PASSPHRASE) == WORDS
    (left,) = [other for other in path.parent.iterdir() if other != path]
    assert KeyFile(left, NETWORK).read("new") == WORDS


def test_a_link_stays_one_and_no_plain_words_stay_behind_it(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "words.json", tmp_path / "keys.json"
    KeyFile(target, NETWORK).create(WORDS)
    link.symlink_to(target)
    KeyFile(link, NETWORK).change_passphrase(None, PASSPHRASE)
    assert link.is_symlink()
    assert "sausage" not in target.read_text()
    assert KeyFile(link, NETWORK).read(PASSPHRASE) == WORDS


# --- without the extra ---


@pytest.mark.parametrize("is_there", [True, False])
def test_without_the_extra_it_says_how_to_get_it_and_makes_no_plain_file(
    path: Path, tmp_path: Path, is_there: bool
) -> None:
    if not is_there:
        path.unlink()
    script = f"""
import pathlib, sys
sys.modules["cryptography"] = None  # as if it were not installed
from paypercall.obyte.errors import KeyFileError
from paypercall.obyte.key_file import load_mnemonic
try:
    load_mnemonic(pathlib.Path({str(path)!r}), {{"PAYPERCALL_PASSPHRASE": {PASSPHRASE!r}}}, {NETWORK!r})
except KeyFileError as error:
    print(error.code, error)
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout == (
        "extra_missing an encrypted key file needs cryptography: pip install 'paypercall[encryption]'\n"
    )
    assert list(tmp_path.iterdir()) == ([path] if is_there else [])


def test_a_plain_file_needs_no_extra(tmp_path: Path) -> None:
    script = f"""
import pathlib, sys
sys.modules["cryptography"] = None
from paypercall.obyte.key_file import load_mnemonic
load_mnemonic(pathlib.Path({str(tmp_path / "keys.json")!r}), {{}}, {NETWORK!r})
"""
    subprocess.run([sys.executable, "-c", script], timeout=60, check=True)
    assert (tmp_path / "keys.json").exists()
