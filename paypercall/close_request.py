"""The customer's signed wish that the merchant closes their channel. Pure.

What is signed can be neither a payment package nor a unit, and counts in one period of one channel only.
"""

from __future__ import annotations

import hashlib

from paypercall.errors import Refusal, RefusalCode
from paypercall.obyte.address import definition_address, is_valid_base64
from paypercall.obyte.keys import Key, verify_signature

_PURPOSE = "paypercall: close this period of this channel"


def sign_close_request(key: Key, aa_address: str, period: int) -> str:
    """Signs the wish that a channel's period is closed.

    Returns:
        The public key and the signature, both base64, with a space between them.
    """
    return f"{key.public_key} {key.sign(_digest(aa_address, period))}"


def check_close_request(signature: object, aa_address: str, period: int, peer_address: str) -> None:
    """Checks that the peer of a channel wishes its period to be closed.

    Raises:
        Refusal: With `wrong_shape`, `wrong_signer` or `wrong_signature`.
    """
    public_key, space, signed = signature.partition(" ") if isinstance(signature, str) else ("", "", "")
    if not space or not public_key or not signed:
        raise Refusal(
            RefusalCode.WRONG_SHAPE, "a close is authorised by the peer's public key and signature, in base64"
        )
    if definition_address(["sig", {"pubkey": public_key}]) != peer_address:
        raise Refusal(RefusalCode.WRONG_SIGNER, "the close is not signed by the channel's peer")
    digest = _digest(aa_address, period)
    if not (is_valid_base64(signed) and verify_signature(digest, signed, public_key)):
        raise Refusal(
            RefusalCode.WRONG_SIGNATURE,
            f"the signature does not authorise a close of period {period}, the current one, of this channel",
        )


def _digest(aa_address: str, period: int) -> bytes:
    return hashlib.sha256("\0".join((_PURPOSE, aa_address, str(period))).encode()).digest()
