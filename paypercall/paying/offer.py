"""What a merchant writes: the terms of a 402, and receipts. Pure; everything here may come from an enemy.

A header that is not exactly what it should be makes the whole offer worthless. Nothing is decided here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol

from paypercall import wire
from paypercall.arguments import check_asset
from paypercall.errors import PaypercallError, Refusal
from paypercall.obyte.address import is_valid_address
from paypercall.terms import UnconfirmedTerms
from paypercall.trigger_data import MAX_AGENT_AMOUNT

MAX_TERM = 250
"""Characters of one header of an offer."""

MAX_RECEIPT = 2048
"""Characters of a receipt."""

_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}")
_TIMEOUTS = re.compile(r"([0-9]{1,10})-([0-9]{1,10})")
_UNCONFIRMED = re.compile(
    r"max-by-channel=([0-9]{1,16}), max-by-asset=([0-9]{1,16}), minimum-seconds=([0-9]{1,10})"
)
_WORD = re.compile(r"[A-Za-z0-9._-]{1,40}")
_ENDPOINT = re.compile(r"/[!-~]*|https?://[!-~]+")


class WrongOffer(PaypercallError, ValueError):
    """What a merchant writes makes no sense; nothing was paid for it."""

    code = "wrong_offer"


class ReadHeaders(Protocol):
    """The headers of an answer; names are compared without their case."""

    def get(self, name: str, /) -> str | None:
        """The value of a header."""


@dataclass(frozen=True, slots=True)
class Offer:
    """The terms of a merchant for one request.

    Attributes:
        price: In bytes or units of the asset; above 0.
        asset: `base` or an asset's id.
        payee: The address to pay.
        network: The network's unit version.
        methods: The names of the payment methods that the merchant takes.
        agent_versions: The versions of the channel agent that it takes.
        endpoint: Where its channel endpoint is, or None.
        min_timeout: The shortest timeout of a channel that it takes, in seconds; None if it does not say.
        max_timeout: The longest.
        unconfirmed: What it takes before a deposit is confirmed, or None if it does not say.
    """

    price: int
    asset: str
    payee: str
    network: str
    methods: tuple[str, ...]
    agent_versions: tuple[str, ...]
    endpoint: str | None = None
    min_timeout: int | None = None
    max_timeout: int | None = None
    unconfirmed: UnconfirmedTerms | None = None

    @property
    def quote(self) -> Quote:
        """What it costs."""
        return Quote(self.price, self.asset, self.payee)


@dataclass(frozen=True, slots=True)
class Quote:
    """What a resource costs, as far as is known.

    Attributes:
        price: In bytes or units of the asset.
        asset: The asset.
        payee: Who is paid.
    """

    price: int
    asset: str
    payee: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a merchant says of a payment that it took.

    Attributes:
        amount: What was paid.
        asset: In what.
        aa_address: Over which channel.
        accepted: What the merchant has taken in the channel's period, this payment included.
        credit: What it has signed packages for beyond that.
        refund: What it says it gives back.
        price: What it says the request costs, or None where it does not.
    """

    amount: int
    asset: str
    aa_address: str
    accepted: int
    credit: int
    refund: int
    price: int | None = None


def require_offer(headers: ReadHeaders) -> Offer:
    """Reads the terms of a 402.

    Raises:
        WrongOffer: When they make no sense, or say nothing of channels.
    """
    offer = read_offer(headers)
    if offer is None:
        raise WrongOffer("it costs something, but no terms for channels are told")
    return offer


def read_offer(headers: ReadHeaders) -> Offer | None:
    """Reads the terms of a 402 that takes payments over channels; None if it says nothing of that.

    Raises:
        WrongOffer: When it does, and makes no sense.
    """
    if headers.get(wire.PRICE) is None or headers.get(wire.ADDRESS) is None:
        return None
    asset, payee = _term(headers, wire.ASSET), _term(headers, wire.ADDRESS)
    try:
        check_asset(asset)
    except Refusal:
        raise WrongOffer("the offered asset is none") from None
    if not is_valid_address(payee):
        raise WrongOffer("the offered payee's address is not valid")
    price = _number(_term(headers, wire.PRICE))
    if not 0 < price <= MAX_AGENT_AMOUNT:
        raise WrongOffer("the price is out of range")
    shortest, longest = _timeouts(headers)
    return Offer(
        price,
        asset,
        payee,
        network=_one_word(_term(headers, wire.NETWORK)),
        methods=_words(_term(headers, wire.METHODS)),
        agent_versions=_words(_term(headers, wire.AGENT_VERSIONS)),
        endpoint=_endpoint(headers),
        min_timeout=shortest,
        max_timeout=longest,
        unconfirmed=_unconfirmed(headers),
    )


def read_receipt(text: str) -> Receipt:
    """Reads a receipt for a payment over a channel.

    Raises:
        WrongOffer: When it is none.
    """
    if len(text) > MAX_RECEIPT:
        raise WrongOffer("the receipt is too long")
    try:
        receipt = wire.decode_receipt(text)
    except (ValueError, RecursionError):
        raise WrongOffer("the receipt is no JSON object") from None
    return Receipt(
        amount=_amount(receipt, "amount"),
        asset=_text(receipt, "asset"),
        aa_address=_text(receipt, "aa_address"),
        accepted=_amount(receipt, "accepted"),
        credit=_amount(receipt, "credit"),
        refund=_amount(receipt, "refund") if "refund" in receipt else 0,
        price=_amount(receipt, "price") if "price" in receipt else None,
    )


def _term(headers: ReadHeaders, name: str) -> str:
    value = headers.get(name)
    if value is None or len(value) > MAX_TERM:
        raise WrongOffer(f"{name} is missing or too long")
    return value.strip()


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise WrongOffer("a number of the offer is none")
    return int(text)


def _one_word(text: str) -> str:
    if not _WORD.fullmatch(text):
        raise WrongOffer("a name in the offer is none")
    return text


def _words(text: str) -> tuple[str, ...]:
    return tuple(_one_word(word.strip()) for word in text.split(","))


def _timeouts(headers: ReadHeaders) -> tuple[int | None, int | None]:
    if headers.get(wire.CHANNEL_TIMEOUTS) is None:
        return None, None
    found = _TIMEOUTS.fullmatch(_term(headers, wire.CHANNEL_TIMEOUTS))
    if found is None:
        raise WrongOffer(f"{wire.CHANNEL_TIMEOUTS} is no range")
    return int(found[1]), int(found[2])


def _unconfirmed(headers: ReadHeaders) -> UnconfirmedTerms | None:
    if headers.get(wire.UNCONFIRMED) is None:
        return None
    found = _UNCONFIRMED.fullmatch(_term(headers, wire.UNCONFIRMED))
    if found is None:
        raise WrongOffer(f"{wire.UNCONFIRMED} makes no sense")
    return UnconfirmedTerms(int(found[1]), int(found[2]), int(found[3]))


def _endpoint(headers: ReadHeaders) -> str | None:
    if headers.get(wire.ENDPOINT) is None:
        return None
    endpoint = _term(headers, wire.ENDPOINT)
    if not _ENDPOINT.fullmatch(endpoint):
        raise WrongOffer(f"{wire.ENDPOINT} is no path")
    return endpoint


def _amount(receipt: dict[str, Any], name: str) -> int:
    value = receipt.get(name)
    if type(value) is not int or not 0 <= value <= MAX_AGENT_AMOUNT:
        raise WrongOffer(f"{name} in the receipt is no amount")
    return value


def _text(receipt: dict[str, Any], name: str) -> str:
    value = receipt.get(name)
    if not isinstance(value, str):
        raise WrongOffer(f"{name} in the receipt is no text")
    return value
