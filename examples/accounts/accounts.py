"""Accounts with play money in an SQLite file, between which signed transfers move it.

A transfer is moved once, and a replay is refused; a balance is never negative. Each method is one transaction.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from paypercall.errors import PaypercallError
from paypercall.obyte.address import PUBLIC_KEY_LENGTH, is_valid_base64
from paypercall.transfer import SignedTransfer, is_name, read_transfer

MAX_AGE_SECONDS = 24 * 3600
"""How old a transfer may be that was not redeemed yet: much longer than a payee takes it for, who may ask again."""

CLOCKS_DIFFER_SECONDS = 60

_TABLES = """
CREATE TABLE IF NOT EXISTS accounts (
    username TEXT PRIMARY KEY,
    public_key TEXT NOT NULL,
    balance INTEGER NOT NULL CHECK (balance >= 0)
);
CREATE TABLE IF NOT EXISTS transfers (
    id TEXT PRIMARY KEY,
    payer TEXT NOT NULL REFERENCES accounts (username),
    payee TEXT NOT NULL REFERENCES accounts (username),
    amount INTEGER NOT NULL CHECK (amount > 0),
    redemption TEXT NOT NULL,
    redeemed_at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS refusals (
    id TEXT NOT NULL,
    redemption TEXT NOT NULL,
    status INTEGER NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (id, redemption)
);
"""


class AccountError(PaypercallError):
    """What was asked for is not done; no money has moved.

    Attributes:
        status: The HTTP status to answer with.
        refused: The transfer that will never move by this redemption, or None.
    """

    def __init__(self, status: int, code: str, message: str, refused: str | None = None) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.refused = refused


class Accounts:
    """The accounts in one file. Safe to use from many threads and processes.

    Args:
        path: The SQLite file.
        starting_balance: What a new account has. Play money: nobody has paid it in.
    """

    def __init__(self, path: Path, starting_balance: int) -> None:
        self._path = path
        self._starting_balance = starting_balance
        with closing(sqlite3.connect(path)) as database:
            database.executescript(_TABLES)

    def open(self, username: object, public_key: object) -> None:
        """Opens an account; once more with the same key changes nothing.

        Raises:
            AccountError: When the name or the key cannot be used, or the name is taken.
        """
        if not is_name(username) or not is_valid_base64(public_key, PUBLIC_KEY_LENGTH):
            raise AccountError(
                400, "wrong_account", "an account has a short username and a base64 public key"
            )
        with self._transaction() as database:
            database.execute(
                "INSERT INTO accounts VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (username, public_key, self._starting_balance),
            )
            if _key_of(database, str(username)) != public_key:
                raise AccountError(409, "username_taken", "the username is taken")

    def balance(self, username: str) -> int:
        """What an account has.

        Raises:
            AccountError: When there is no such account.
        """
        with self._transaction() as database:
            return _balance_of(database, username)

    def redeem(self, username: str, text: str, signature: str, redemption: str) -> SignedTransfer:
        """Moves the money of a transfer to its payee, once.

        Args:
            username: The payee.
            text: The transfer.
            signature: Its signature.
            redemption: What tells this redemption from all others. Repeated, because its answer got lost, it moves
                nothing more and is answered alike, be it with a refusal; any other one of what was moved is a replay.

        Raises:
            Refusal: When the transfer is malformed or not signed.
            AccountError: When it cannot be redeemed.
        """
        signed = read_transfer(text, signature)
        if signed.transfer.payee_username != username:
            raise AccountError(403, "wrong_payee", "the transfer is to another payee")
        with self._transaction() as database:
            refusal = _refusal_of(database, signed, redemption)
        if refusal is not None:
            raise refusal
        return signed

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            with database:
                yield database


def _refusal_of(database: sqlite3.Connection, signed: SignedTransfer, redemption: str) -> AccountError | None:
    """Moves the money of a transfer, unless this redemption has moved it, or is refused; tells why it is, for good."""
    use = (signed.id, redemption)
    query = "SELECT status, code, message FROM refusals WHERE id = ? AND redemption = ?"
    refused = database.execute(query, use).fetchone()
    if refused is not None:
        return AccountError(*refused, refused=signed.id)
    moved = database.execute("SELECT redemption FROM transfers WHERE id = ?", (signed.id,)).fetchone()
    if moved is not None:
        replay = AccountError(409, "already_redeemed", "the transfer was redeemed already", signed.id)
        return None if moved == (redemption,) else replay
    try:
        _move(database, signed, redemption)
    except AccountError as error:
        # A repetition that is still on its way must not move later what the payee is told was not moved.
        why = (error.status, error.code, str(error))
        database.execute("INSERT INTO refusals VALUES (?, ?, ?, ?, ?)", (*use, *why))
        return AccountError(*why, refused=signed.id)
    return None


def _move(database: sqlite3.Connection, signed: SignedTransfer, redemption: str) -> None:
    """Moves the money of a transfer; what it refuses has changed nothing."""
    transfer, now = signed.transfer, int(time.time())
    if not -CLOCKS_DIFFER_SECONDS <= now - transfer.timestamp <= MAX_AGE_SECONDS:
        raise AccountError(410, "wrong_time", "the transfer is too old, or of the future")
    if _key_of(database, transfer.payer) != transfer.payer_pubkey:
        raise AccountError(403, "wrong_key", "the transfer is not signed with the payer's key")
    _balance_of(database, transfer.payee_username)  # there is such an account
    if _balance_of(database, transfer.payer) < transfer.amount:
        raise AccountError(402, "insufficient_funds", f"{transfer.payer} has less than {transfer.amount}")
    change = "UPDATE accounts SET balance = balance + ? WHERE username = ?"
    database.execute(change, (-transfer.amount, transfer.payer))
    database.execute(change, (transfer.amount, transfer.payee_username))
    database.execute(
        "INSERT INTO transfers VALUES (?, ?, ?, ?, ?, ?)",
        (signed.id, transfer.payer, transfer.payee_username, transfer.amount, redemption, now),
    )


def _key_of(database: sqlite3.Connection, username: str) -> str:
    return str(_account(database, username)[0])


def _balance_of(database: sqlite3.Connection, username: str) -> int:
    return int(_account(database, username)[1])


def _account(database: sqlite3.Connection, username: str) -> tuple[str, int]:
    row: tuple[str, int] | None = database.execute(
        "SELECT public_key, balance FROM accounts WHERE username = ?", (username,)
    ).fetchone()
    if row is None:
        raise AccountError(404, "unknown_account", f"there is no account {username}")
    return row
