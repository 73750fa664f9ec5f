"""A close is authorised by the channel's peer, for one period of one channel."""

from __future__ import annotations

import pytest

from paypercall.close_request import check_close_request, sign_close_request
from paypercall.errors import Refusal
from tests.two_sides import CUSTOMER, STRANGER, channel_parameters

AA_ADDRESS = channel_parameters().aa_address
SIGNATURE = sign_close_request(CUSTOMER, AA_ADDRESS, 3)
PUBLIC_KEY, _, SIGNED = SIGNATURE.partition(" ")


def test_the_peers_signature_authorises_a_close() -> None:
    check_close_request(SIGNATURE, AA_ADDRESS, 3, CUSTOMER.address)


@pytest.mark.parametrize(
    "signature, aa_address, period, code",
    [
        (sign_close_request(STRANGER, AA_ADDRESS, 3), AA_ADDRESS, 3, "wrong_signer"),
        (f"{PUBLIC_KEY} {STRANGER.sign(bytes(32))}", AA_ADDRESS, 3, "wrong_signature"),
        (SIGNATURE, AA_ADDRESS, 4, "wrong_signature"),
        (SIGNATURE, STRANGER.address, 3, "wrong_signature"),
        (PUBLIC_KEY, AA_ADDRESS, 3, "wrong_shape"),
        (f"{PUBLIC_KEY} ", AA_ADDRESS, 3, "wrong_shape"),
        (f" {SIGNED}", AA_ADDRESS, 3, "wrong_shape"),
        (f"{PUBLIC_KEY} x", AA_ADDRESS, 3, "wrong_signature"),
        (f"{PUBLIC_KEY}  {SIGNED}", AA_ADDRESS, 3, "wrong_signature"),
        (f"{SIGNATURE} {SIGNED}", AA_ADDRESS, 3, "wrong_signature"),
        (SIGNATURE.rstrip("="), AA_ADDRESS, 3, "wrong_signature"),
        ("\ud800 x", AA_ADDRESS, 3, "wrong_signer"),
        (None, AA_ADDRESS, 3, "wrong_shape"),
    ],
)
def test_nothing_else_does(signature: object, aa_address: str, period: int, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        check_close_request(signature, aa_address, period, CUSTOMER.address)
    assert refused.value.code == code
