"""One-time tokens, which stand for payments: how one is made, and what the books keep of it. Pure.

The same package always gives the same token, so that nothing has to be kept to give it again. It is made of what was
signed, not of numbers in the books: those begin anew in a new database on the same keys.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode

PURPOSE = "paypercall: payment tokens"
"""What the secret is for, see `Key.secret_for`."""


def token_for(secret: bytes, digest: str) -> str:
    """The token of a payment: 43 characters, which nobody else can tell who knows the package.

    Args:
        secret: The merchant's own.
        digest: Of what the package's signer signed, see `PaymentPackage.digest`.
    """
    code = hmac.new(secret, digest.encode(), hashlib.sha256).digest()
    return urlsafe_b64encode(code).rstrip(b"=").decode()


def hash_of(token: str) -> str:
    """What the books keep of a token, hex: who reads them learns no token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
