"""A token is the same for the same package, and nobody but the merchant can tell it."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode

from paypercall.obyte.keys import Key
from paypercall.payment_token import PURPOSE, hash_of, token_for

KEY = Key(b"\x01" * 32)
DIGEST = "ab" * 32


def test_a_token_is_made_of_the_merchants_secret_and_of_what_was_signed() -> None:
    token = token_for(KEY.secret_for(PURPOSE), DIGEST)
    assert len(token) == 43
    assert urlsafe_b64decode(token + "=") == hmac.digest(KEY.secret_for(PURPOSE), DIGEST.encode(), "sha256")
    assert token_for(KEY.secret_for(PURPOSE), DIGEST) == token


def test_every_package_merchant_and_purpose_has_a_token_of_its_own() -> None:
    other_key = Key(b"\x02" * 32)
    tokens = [
        token_for(KEY.secret_for(PURPOSE), DIGEST),
        token_for(KEY.secret_for(PURPOSE), "ac" * 32),
        token_for(other_key.secret_for(PURPOSE), DIGEST),
        token_for(KEY.secret_for("another purpose"), DIGEST),
    ]
    assert len(set(tokens)) == len(tokens)


def test_what_is_kept_of_a_token_is_its_sha256() -> None:
    assert hash_of("token") == hashlib.sha256(b"token").hexdigest()
    assert len(hash_of("é" * 1000)) == 64
