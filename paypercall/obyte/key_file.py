"""The one file that may hold a wallet's mnemonic, `keys.json`: plain, or encrypted with a passphrase.

The words are the money: neither they nor the passphrase appear in an error, a log or a repr. A file appears whole and
durable, for its owner's eyes only, or not at all; none is overwritten but by itself under another passphrase; one that
other users can read is refused, and so is one of another network.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from paypercall.obyte.errors import InvalidMnemonic, KeyFileError, SealBroken, WrongPassphrase
from paypercall.obyte.mnemonics import MNEMONIC_VARIABLE, check_mnemonic, new_mnemonic

PASSPHRASE_VARIABLE = "PAYPERCALL_PASSPHRASE"

_ENCRYPTED = 2  # as `version`; a plain file has none
_MAX_FILE_BYTES = 64 * 1024
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO

_logger = logging.getLogger(__name__)


def load_mnemonic(path: Path, environment: Mapping[str, str], network: str) -> str:
    """Returns the wallet's mnemonic: the environment's, else the file's, made on the first run.

    Processes that start at the same time end up with the same mnemonic.

    Args:
        path: Where the key file is or shall be.
        environment: Usually `os.environ`; `PAYPERCALL_MNEMONIC` wins, and is an error if set but empty,
            because a fresh wallet in its place would hide the mistake. `PAYPERCALL_PASSPHRASE` opens an encrypted
            file, and a new one is encrypted with it.
        network: The name of the network.

    Raises:
        InvalidMnemonic: The environment's mnemonic is invalid.
        KeyFileError: The file cannot be used.
    """
    given = environment.get(MNEMONIC_VARIABLE)
    if given is not None:
        try:
            check_mnemonic(given)
        except InvalidMnemonic as error:
            raise InvalidMnemonic(f"{MNEMONIC_VARIABLE}: {error}") from None
        return given
    file = KeyFile(path, network)
    passphrase = passphrase_in(environment)
    if not file.exists():
        file.create(new_mnemonic(), passphrase)
    elif passphrase is not None and not file.is_encrypted():
        _logger.warning(
            "%s is not encrypted, although %s is set: run `paypercall wallet encrypt`",
            path,
            PASSPHRASE_VARIABLE,
        )
    return file.read(passphrase)


def passphrase_in(environment: Mapping[str, str]) -> str | None:
    """The passphrase that the environment holds, or None.

    Raises:
        KeyFileError: It is set but empty, with `passphrase_missing`.
    """
    passphrase = environment.get(PASSPHRASE_VARIABLE)
    if passphrase is not None:
        _require_passphrase(passphrase, f"{PASSPHRASE_VARIABLE} is set, but empty")
    return passphrase


class KeyFile:
    """A key file, which need not be there.

    Args:
        path: Where it is or shall be.
        network: The name of the network that its wallet is for. A file that names none is for any.
    """

    def __init__(self, path: Path, network: str) -> None:
        self.path = path
        self._network = network

    def exists(self) -> bool:
        """Whether there is anything of that name."""
        return os.path.lexists(self.path)

    def is_encrypted(self) -> bool:
        """Whether a passphrase is needed to read it.

        Raises:
            KeyFileError: It cannot be used.
        """
        return "version" in self._content(self.path)

    def read(self, passphrase: str | None = None) -> str:
        """Returns the mnemonic.

        Args:
            passphrase: What it is encrypted with; not looked at if it is plain.

        Raises:
            KeyFileError: It cannot be used.
        """
        return self._mnemonic(self.path, passphrase)

    def create(self, mnemonic: str, passphrase: str | None = None) -> bool:
        """Makes the file.

        Args:
            mnemonic: A valid one.
            passphrase: What to encrypt it with; None leaves it plain.

        Returns:
            False if another process was faster: its file stays.

        Raises:
            KeyFileError: It cannot be written.
        """
        with self._translated():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._written(self.path, self._text(mnemonic, passphrase)) as temporary:
                try:
                    os.link(temporary, self.path)  # unlike a rename, never replaces a file
                except FileExistsError:
                    return False
        return True

    def change_passphrase(self, old: str | None, new: str | None) -> None:
        """Encrypts the file, encrypts it anew, or makes it plain. The old one stays until the new one is durable.

        Args:
            old: What it is encrypted with, if it is.
            new: What it shall be encrypted with; None makes it plain.

        Raises:
            KeyFileError: It cannot be used or written; then it is as it was.
        """
        if new is not None:
            _require_passphrase(new, "the new passphrase is empty")
        mnemonic = self.read(old)
        with self._translated():
            path = Path(os.path.realpath(self.path))  # a link stays one, and no plain file behind it
            with self._written(path, self._text(mnemonic, new)) as temporary:
                if self._mnemonic(temporary, new) != mnemonic:
                    raise KeyFileError(
                        f"{temporary} was not written as it should be; {self.path} is as it was"
                    )
                os.replace(temporary, path)

    # --- writing -----------------------------------------------------------------------------------------------------

    def _text(self, mnemonic: str, passphrase: str | None) -> str:
        beside: dict[str, str | int] = {"network": self._network}
        if passphrase is None:
            return json.dumps({"mnemonic": mnemonic, **beside})
        sealed = _encryption().seal(mnemonic, passphrase, {"version": _ENCRYPTED, **beside})
        return json.dumps({**sealed, "checksum": _checksum(sealed)}, indent=1)

    @contextmanager
    def _written(self, path: Path, text: str) -> Iterator[Path]:
        """Writes a durable file beside a path; what the block makes of it is durable, too, and the rest is removed."""
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # of mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            yield Path(name)
        finally:
            if os.path.lexists(name):
                os.unlink(name)
        _sync_directory(path.parent)

    # --- reading -----------------------------------------------------------------------------------------------------

    def _mnemonic(self, path: Path, passphrase: str | None) -> str:
        content = self._content(path)
        if "version" in content:
            if passphrase is None:
                raise KeyFileError(
                    f"{path} is encrypted: set {PASSPHRASE_VARIABLE} to its passphrase",
                    code="passphrase_missing",
                )
            mnemonic = self._opened(content, passphrase)
        else:
            mnemonic = content["mnemonic"]
        try:
            check_mnemonic(mnemonic)
        except InvalidMnemonic as error:
            raise self._damaged(str(error)) from None
        return mnemonic

    def _opened(self, content: dict[str, Any], passphrase: str) -> str:
        try:
            with self._translated():
                return str(_encryption().unseal(content, passphrase))
        except WrongPassphrase as error:
            raise KeyFileError(f"{self.path} cannot be opened: {error}", code=error.code) from None
        except SealBroken as error:
            raise self._damaged(str(error)) from None

    def _content(self, path: Path) -> dict[str, Any]:
        """The fields of a file of the right shape and network, without the checksum."""
        with self._translated(), path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & _OPEN_TO_OTHERS:
                raise KeyFileError(
                    f"{path} can be read by other users; run: chmod 600 {path}",
                    code="key_file_open_to_others",
                )
            content = _parse(file.read(_MAX_FILE_BYTES + 1))
        # Errors are raised out of any except block: a JSON error would carry the whole text along.
        if not isinstance(content, dict):
            raise self._damaged("it is no JSON object")
        if "version" in content:
            self._check_encrypted(content)
        elif not isinstance(content.get("mnemonic"), str):
            raise self._damaged("it holds no mnemonic")
        network = content.get("network", self._network)
        if network != self._network:
            raise KeyFileError(
                f"{self.path} is a wallet of {network}, the conf's network is {self._network}: set data_dir so that"
                " they go together",
                code="wrong_network",
            )
        return content

    def _check_encrypted(self, content: dict[str, Any]) -> None:
        if content["version"] != _ENCRYPTED:
            raise KeyFileError(
                f"{self.path} is of a version that this release does not know", code="key_file_version"
            )
        if not all(type(value) in (str, int) for value in content.values()):
            raise self._damaged("it holds more than texts and integers")
        # Anyone can compute it: it only tells a broken file from a wrong passphrase.
        if content.pop("checksum", None) != _checksum(content):
            raise self._damaged("its checksum is wrong")

    def _damaged(self, reason: str) -> KeyFileError:
        return KeyFileError(
            f"{self.path} is damaged ({reason}) and was left as it is: restore a backup or move it away",
            code="key_file_damaged",
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise KeyFileError(
                f"{self.path} cannot be used: there is no such file", code="key_file_missing"
            ) from None
        except OSError as error:
            raise KeyFileError(f"{self.path} cannot be used: {error.strerror}") from error
        except MemoryError:
            raise KeyFileError(f"{self.path} cannot be used: scrypt finds too little memory") from None


def _require_passphrase(passphrase: str, otherwise: str) -> None:
    if not passphrase:
        raise KeyFileError(otherwise, code="passphrase_missing")


def _encryption() -> ModuleType:
    try:
        from paypercall.obyte import encryption
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "cryptography":
            raise
        raise KeyFileError(
            "an encrypted key file needs cryptography: pip install 'paypercall[encryption]'",
            code="extra_missing",
        ) from error
    return encryption


def _checksum(fields: Mapping[str, str | int]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _parse(text: bytes) -> Any:
    if len(text) > _MAX_FILE_BYTES:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
