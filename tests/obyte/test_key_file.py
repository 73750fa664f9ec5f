"""The file that holds a mnemonic: plain or encrypted, made once, and never open, lost or quoted."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from paypercall.obyte import key_file
from paypercall.obyte.errors import InvalidMnemonic, KeyFileError
from paypercall.obyte.key_file import load_mnemonic
from paypercall.obyte.mnemonics import check_mnemonic

WORDS = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"
NETWORK = "livenet"


def test_the_environments_mnemonic_wins_and_no_file_is_made(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    assert load_mnemonic(path, {"PAYPERCALL_MNEMONIC": WORDS}, NETWORK) == WORDS
    assert not path.exists()


@pytest.mark.parametrize("words", ["", WORDS + " ", "hunter two"])
def test_an_invalid_mnemonic_of_the_environment_is_refused_by_name(tmp_path: Path, words: str) -> None:
    with pytest.raises(InvalidMnemonic, match="PAYPERCALL_MNEMONIC") as refusal:
        load_mnemonic(tmp_path / "keys.json", {"PAYPERCALL_MNEMONIC": words}, NETWORK)
    assert "hunter" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_the_first_run_makes_a_private_file_that_later_runs_read(tmp_path: Path) -> None:
    path = tmp_path / "data" / "keys.json"
    words = load_mnemonic(path, {}, NETWORK)
    check_mnemonic(words)
    assert json.loads(path.read_text()) == {"mnemonic": words, "network": NETWORK}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert load_mnemonic(path, {}, NETWORK) == words


def test_a_loose_umask_does_not_open_the_file(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        load_mnemonic(tmp_path / "keys.json", {}, NETWORK)
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600


def test_processes_that_start_at_once_end_with_one_mnemonic(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from paypercall.obyte.key_file import load_mnemonic\n"
        "sys.stdin.readline()\n"
        "sys.stdout.write(load_mnemonic(pathlib.Path(sys.argv[1]), {}, 'livenet'))\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "keys.json")]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = {process.communicate(timeout=60)[0] for process in processes}
    assert found == {load_mnemonic(tmp_path / "keys.json", {}, NETWORK)}
    assert [each.name for each in tmp_path.iterdir()] == ["keys.json"]


def test_the_loser_of_a_race_takes_the_winners_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.json"

    def somebody_is_faster() -> str:
        write_key_file(path, {"mnemonic": WORDS})
        return "legal winner thank year wave sausage worth useful legal winner thank yellow"

    monkeypatch.setattr(key_file, "new_mnemonic", somebody_is_faster)
    assert load_mnemonic(path, {}, NETWORK) == WORDS
    assert [each.name for each in tmp_path.iterdir()] == ["keys.json"]


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o644])
def test_a_file_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.json"
    write_key_file(path, {"mnemonic": WORDS}, mode)
    with pytest.raises(KeyFileError, match="chmod 600") as refusal:
        load_mnemonic(path, {}, NETWORK)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"mnemonic": "abandon aban',
        b"[]",
        b"null",
        b"{}",
        b'{"mnemonic": 5}',
        b'{"mnemonic": "abandon about"}',
        b'{"mnemonic": "' + WORDS.replace("about", "abandon").encode() + b'"}',
        b'{"mnemonic": "' + WORDS.encode() + b'", "version": 2}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_refused_left_alone_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=re.escape(str(path))) as refusal:
        load_mnemonic(path, {}, NETWORK)
    error: BaseException | None = refusal.value
    assert "abandon" not in "".join(traceback.format_exception(error))
    while error is not None:
        assert not hasattr(error, "doc"), "a JSON error carries the whole text"
        error = error.__context__
    assert path.read_bytes() == content


def test_a_file_without_a_network_and_with_a_field_that_later_releases_may_add_is_read(
    tmp_path: Path,
) -> None:
    path = tmp_path / "keys.json"
    write_key_file(path, {"mnemonic": WORDS, "note": "mine"})
    assert load_mnemonic(path, {}, NETWORK) == WORDS


def test_a_folder_in_place_of_the_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be used"):
        load_mnemonic(tmp_path, {}, NETWORK)


def test_a_link_to_nowhere_is_a_clear_error_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.symlink_to(tmp_path / "nowhere.json")
    with pytest.raises(KeyFileError, match="cannot be used"):
        load_mnemonic(path, {}, NETWORK)
    assert path.is_symlink()
    assert not (tmp_path / "nowhere.json").exists()


def write_key_file(path: Path, content: dict[str, Any], mode: int = 0o600) -> None:
    path.write_text(json.dumps(content))
    path.chmod(mode)
