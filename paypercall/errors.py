"""The root of every error that paypercall raises.

Each error carries a stable `code`, so that a program can act on it without reading the text. This module is the
bottom of the house: it imports nothing of the package, and holds no error that belongs to one area only.
"""

from __future__ import annotations


class PaypercallError(Exception):
    """An error with a text for people and a stable `code` for programs.

    Args:
        message: What was wrong and what to do about it, in one line, without secrets.
        code: A stable identifier; subclasses set their own default.
    """

    code: str = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
