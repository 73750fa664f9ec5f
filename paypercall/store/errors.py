"""The errors of the store. No text of them may quote a package, a unit or another value from the database."""

from __future__ import annotations

from paypercall.errors import PaypercallError


class StoreError(PaypercallError):
    """The database cannot be used as asked; nothing of the transaction is kept.

    The codes: `wrong_url`, `driver_missing`, `cannot_open`, `busy`, `database`, `schema_old`, `schema_new`,
    `not_locked`.
    """

    code = "database"


def database_failed(error: BaseException) -> StoreError:
    """Tells what a database driver said, without the row that it may quote; to be raised `from None` therefore."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return StoreError(f"the database failed: {reason}", code="busy" if "is locked" in reason else "database")
