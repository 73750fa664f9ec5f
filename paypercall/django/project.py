"""What the project's settings say: `PAYPERCALL` and `WALLET`. Makes the server that takes the payments."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.urls import (
    NoReverseMatch,
    URLPattern,
    URLResolver,
    get_resolver,
    get_script_prefix,
    get_urlconf,
    resolve,
)
from django.urls.resolvers import RegexPattern
from django.utils.http import escape_leading_slashes
from django.utils.module_loading import import_string

from paypercall.call_book import AnswerLimits
from paypercall.conf import Conf
from paypercall.django.data_dir import require_own
from paypercall.django.database import database_url
from paypercall.errors import PaypercallError
from paypercall.methods import Channel, PaymentMethod
from paypercall.obyte.wallet import Wallet
from paypercall.party import BLIND_SECONDS
from paypercall.payment_server import PaymentServer
from paypercall.paywall import Paywall
from paypercall.paywall.endpoint import check_endpoint
from paypercall.paywall.refunds import RefundPolicy
from paypercall.server import Server

logger = logging.getLogger(__name__)

_ENDPOINT = "paypercall.django.endpoint.answer"
"""The view that answers at the channel endpoint, as URLconfs know it."""

_OWN = ("answers", "max_sweeping_period", "methods", "refunds")
"""What `PAYPERCALL` may hold besides the settings of `conf.example.py`."""


@dataclass(frozen=True, slots=True)
class Project:
    """The parts that take the payments of a project.

    Attributes:
        server: Takes payments over channels.
        paywall: Decides what happens to a request.
    """

    server: PaymentServer
    paywall: Paywall


def open_project() -> Project:
    """Makes the parts as the settings say.

    Raises:
        ImproperlyConfigured: When a setting is wrong.
    """
    given = getattr(settings, "PAYPERCALL", None)
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured("set PAYPERCALL to a dict of settings; conf.example.py explains each")
    own = {name: _loaded(given[name]) for name in _OWN if name in given}
    try:
        if (path := endpoint_path()) is not None:
            check_endpoint(path)
        conf = Conf.from_settings(
            {
                "database_url": given.get("database_url") or database_url(),
                **{name: value for name, value in given.items() if name not in (*_OWN, "database_url")},
            }
        )
        require_own(conf.data_dir)
        period = {name: own[name] for name in ("max_sweeping_period",) if name in own}
        server = PaymentServer(Server(wallet=_wallet(), conf=conf, **period), answers=_answers(own))
    except PaypercallError as error:
        raise ImproperlyConfigured(f"PAYPERCALL: {error} ({error.code})") from error
    except ValueError as error:
        raise ImproperlyConfigured(f"PAYPERCALL: {error}") from error
    return Project(server, Paywall(server.calls, _methods(own, server), _refunds(own)))


def watch_again(server: Server) -> None:
    """Watches the ledger for books that were watched before: a customer may close while no payment comes.

    New books have nothing to lose, and may be those of tests.
    """
    with server.store.reading() as books:
        seen_at = books.node.health().synced_at
    if seen_at is None:
        return
    minutes = (int(time.time()) - seen_at) // 60
    if minutes >= BLIND_SECONDS // 60:
        logger.warning(
            "nobody has looked at the ledger for %s minutes, in which a channel may have been closed with too little:"
            " keep `manage.py watch_payments` running",
            minutes,
        )
    server.start_node()


def endpoint_path() -> str | None:
    """Where the project has the channel endpoint, or None if no path without arguments leads to it."""
    for view, route in _routes_of_endpoint(get_resolver(get_urlconf()).url_patterns):
        with suppress(NoReverseMatch):  # its path has arguments
            path = URLResolver(RegexPattern("^/"), [route]).reverse(_ENDPOINT)
            if resolve(f"/{unquote(path)}").func is view:
                return escape_leading_slashes(quote(get_script_prefix()) + path)
    return None


def _routes_of_endpoint(
    patterns: Iterable[URLPattern | URLResolver],
) -> Iterator[tuple[Callable[..., Any], URLPattern | URLResolver]]:
    """The endpoint's view, and each way to it without what is beside it: in a namespace others may have its name."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            for view, route in _routes_of_endpoint(pattern.url_patterns):
                yield view, URLResolver(pattern.pattern, [route])
        elif pattern.lookup_str == _ENDPOINT:
            yield pattern.callback, URLPattern(pattern.pattern, pattern.callback, name=_ENDPOINT)


def _wallet() -> Wallet | None:
    """`WALLET`: a wallet, a function that makes one, or the dotted path of either; None for the conf's keys."""
    wallet = _loaded(getattr(settings, "WALLET", None))
    if callable(wallet):
        wallet = wallet()
    if wallet is not None and not isinstance(wallet, Wallet):
        raise ImproperlyConfigured(
            "WALLET must be a wallet, a function that makes one, or the dotted path of either"
        )
    return wallet


def _answers(own: Mapping[str, Any]) -> AnswerLimits | None:
    answers = own.get("answers")
    return AnswerLimits(**answers) if isinstance(answers, Mapping) else answers


def _methods(own: Mapping[str, Any], server: PaymentServer) -> Sequence[PaymentMethod]:
    make: Callable[[PaymentServer], Sequence[PaymentMethod]] | None = own.get("methods")
    return [Channel(server, endpoint_path())] if make is None else make(server)


def _refunds(own: Mapping[str, Any]) -> RefundPolicy | None:
    return own.get("refunds")


def _loaded(value: object) -> Any:
    return import_string(value) if isinstance(value, str) else value
