"""What resources cost, as far as merchants have told it to this process. In memory, and bounded; no I/O.

A price is remembered only if it can be paid from here, so that it can be paid at once the next time.
"""

from __future__ import annotations

from typing import TypeVar

from paypercall.contract import BASE_AGENTS
from paypercall.paying.budget import PaymentDeclined
from paypercall.paying.call import Call
from paypercall.paying.offer import Offer, Quote
from paypercall.paying.price_list import PriceList, read_price_list
from paypercall.wire import ENDPOINT_PATH

_MOST = 1024

_Known = TypeVar("_Known")


class Prices:
    """The prices that are known. Safe to use from many threads.

    Args:
        network: The network's unit version.
        timeout: That of channels made here, in seconds.
    """

    def __init__(self, network: str, timeout: int) -> None:
        self._network = network
        self._timeout = timeout
        self._quotes: dict[str, Quote | None] = {}
        self._endpoints: dict[str, str] = {}
        self._lists: dict[str, PriceList] = {}

    def quote(self, call: Call) -> Quote | None:
        """What a call costs, or None if that is not known."""
        known = self._quotes.get(call.resource)
        if known is not None or self.must_be_asked_for(call):
            return known
        return self._lists.get(call.origin, PriceList()).quote(call.method, call.path)

    def must_be_asked_for(self, call: Call) -> bool:
        """Whether what was known of a call's price turned out to be wrong, or not to be payable."""
        return call.resource in self._quotes and self._quotes[call.resource] is None

    def learn(self, call: Call, quote: Quote | None) -> None:
        """Remembers what a resource costs, or that it must be asked for."""
        _remember(self._quotes, call.resource, quote)

    def learn_offer(self, call: Call, offer: Offer) -> None:
        """Remembers what a 402 has told."""
        try:
            require_payable(offer, self._network, self._timeout)
        except PaymentDeclined:
            self.learn(call, None)
            return
        self.learn(call, offer.quote)
        endpoint = offer.endpoint or ""
        if endpoint.startswith("/") and not endpoint.startswith("//"):
            _remember(self._endpoints, call.origin, endpoint)

    def list_at(self, call: Call) -> str | None:
        """Where the price list is that a call may be on; None if it was read before."""
        return (
            None
            if call.origin in self._lists
            else call.origin + self._endpoints.get(call.origin, ENDPOINT_PATH)
        )

    def learn_list(self, call: Call, text: bytes | None) -> None:
        """Remembers a price list, or that there is none."""
        _remember(self._lists, call.origin, read_price_list(text, self._network, self._timeout))


def require_payable(offer: Offer, network: str, timeout: int | None) -> None:
    """Checks that an offer can be paid from here at all, before any money is locked for it.

    Args:
        offer: What the merchant tells.
        network: The network's unit version.
        timeout: That of the channel that would be made, in seconds; None if there is one.

    Raises:
        PaymentDeclined: With `wrong_network`, `wrong_method` or `wrong_timeout`.
    """
    if offer.network != network:
        raise PaymentDeclined(f"the merchant is on another network: {offer.network}", code="wrong_network")
    if "channel" not in offer.methods or not BASE_AGENTS.keys() & set(offer.agent_versions):
        raise PaymentDeclined("the merchant takes no channel that is known here", code="wrong_method")
    if timeout is None or offer.min_timeout is None or offer.max_timeout is None:
        return
    if not offer.min_timeout <= timeout <= offer.max_timeout:
        raise PaymentDeclined(
            f"the merchant takes channels with timeouts from {offer.min_timeout} to {offer.max_timeout} seconds;"
            " set default_timeout_in_seconds",
            code="wrong_timeout",
        )


def _remember(memory: dict[str, _Known], name: str, value: _Known) -> None:
    """Keeps what is known of a name; of too many, the one that was learned first is forgotten."""
    memory[name] = value
    if len(memory) > _MOST:
        memory.pop(next(iter(memory)), None)
