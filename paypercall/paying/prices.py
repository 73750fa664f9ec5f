"""What resources cost, as far as merchants have told it to this process. In memory, and bounded; no I/O.

A price is remembered only if it can be paid from here, so that it can be paid at once the next time. Where requests to
one resource cost different amounts, each has a price of its own.
"""

from __future__ import annotations

from threading import Lock
from typing import TypeVar

from paypercall.contract import BASE_AGENTS
from paypercall.paying.budget import PaymentDeclined
from paypercall.paying.call import Call
from paypercall.paying.offer import Offer, Quote
from paypercall.paying.price_list import PriceList, read_price_list
from paypercall.wire import ENDPOINT_PATH

_MOST = 1024
_MOST_REQUESTS = 16
"""Of how many requests to one resource the prices are remembered: if the last ones cost the same, the next one does."""

_Known = TypeVar("_Known")


class Prices:
    """The prices that are known. Safe to use from many threads; `begin_in_child` is for after a fork.

    Args:
        network: The network's unit version.
        timeout: That of channels made here, in seconds.
    """

    def __init__(self, network: str, timeout: int) -> None:
        self._network = network
        self._timeout = timeout
        self._lock = Lock()
        self._quotes: dict[str, dict[str, Quote | None]] = {}
        self._shown: dict[str, dict[str, Quote]] = {}
        self._endpoints: dict[str, str] = {}
        self._lists: dict[str, PriceList] = {}

    def begin_in_child(self) -> None:
        """Begins anew in a forked process, with what is known."""
        self._lock = Lock()

    def quote(self, call: Call) -> Quote | None:
        """What a call costs, or None if that is not known."""
        with self._lock:
            known = self._quotes.get(call.resource)
            listed = self._lists.get(call.origin, PriceList())
            if known is None:
                return listed.quote(call.method, call.path)
            if None in known.values():
                return None
            if len(set(known.values())) > 1 or listed.varies(call.method, call.path):
                return known.get(call.request)
            return next(iter(known.values()))

    def must_be_asked_for(self, call: Call) -> bool:
        """Whether a call's price is not known, and not to be had from earlier calls: it varies, or was wrong."""
        with self._lock:
            listed = self._lists.get(call.origin, PriceList())
            is_doubtful = call.resource in self._quotes or listed.varies(call.method, call.path)
        return is_doubtful and self.quote(call) is None

    def learn(self, call: Call, quote: Quote | None) -> None:
        """Remembers what a request costs, or that the prices of its resource must be asked for."""
        with self._lock:
            known = self._quotes.get(call.resource, {})
            told: dict[str, Quote | None] = {
                name: each for name, each in known.items() if each is not None and name != call.request
            }
            _remember(told, call.request, quote, _MOST_REQUESTS)
            _remember(self._quotes, call.resource, told)

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
            with self._lock:
                _remember(self._endpoints, call.origin, endpoint)

    def show(self, call: Call, quote: Quote) -> None:
        """Remembers a price that is handed on to the program without being paid."""
        with self._lock:
            shown = self._shown.get(call.resource, {})
            shown.pop(call.request, None)
            _remember(shown, call.request, quote, _MOST_REQUESTS)
            _remember(self._shown, call.resource, shown)

    def shown(self, call: Call) -> Quote | None:
        """What was shown last: for a call itself, or else for its resource; None since that was paid for."""
        with self._lock:
            shown = self._shown.get(call.resource, {})
            return shown.get(call.request) or next(reversed(shown.values()), None)

    def forget_shown(self, call: Call) -> None:
        """Has what was paid count, and not what was shown before."""
        with self._lock:
            self._shown.pop(call.resource, None)

    def list_at(self, call: Call) -> str | None:
        """Where the price list is that a call may be on; None if it was read before."""
        with self._lock:
            if call.origin in self._lists:
                return None
            return call.origin + self._endpoints.get(call.origin, ENDPOINT_PATH)

    def learn_list(self, call: Call, text: bytes | None) -> None:
        """Remembers a price list, or that there is none."""
        prices = read_price_list(text, self._network, self._timeout)
        with self._lock:
            _remember(self._lists, call.origin, prices)


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


def _remember(memory: dict[str, _Known], name: str, value: _Known, most: int = _MOST) -> None:
    """Keeps what is known of a name; of too many, the one that was learned first is forgotten."""
    memory[name] = value
    if len(memory) > most:
        del memory[next(iter(memory))]
