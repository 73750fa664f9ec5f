"""The channel endpoint: what a customer asks and tells a merchant over HTTP, apart from the requests that it pays for.

A thin layer on `PaymentServer`, without any framework. It tells nothing of a channel that is not on the ledger for
everybody to see, but that it accepts payments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from paypercall import wire
from paypercall.channel import Status
from paypercall.errors import PaypercallError, Refusal, RefusalCode
from paypercall.methods.channel import terms_headers
from paypercall.paid_call import CallConflict, PaymentRefused
from paypercall.payment_server import PaymentServer
from paypercall.paywall.answer import Answer, problem, refused, unavailable
from paypercall.paywall.current import WrongUse
from paypercall.paywall.price import PriceTag
from paypercall.paywall.request import Request, packages_in_json
from paypercall.results import ChannelBalance, ChannelTimeout

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE")

MAX_BODY = 16 * 1024
"""Bytes of a body; the largest package takes less than 3,000 in any form."""

VARIES = "varies"
"""In place of a price that depends on the request."""

CLOSING_SECONDS = 2.0
"""How long a wish to close waits for the closing unit."""

_PATH = re.compile(r"/(?!/)[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")

_STATUS_OF_CLOSE = {
    RefusalCode.UNKNOWN_CHANNEL.value: HTTPStatus.NOT_FOUND,
    RefusalCode.WRONG_SHAPE.value: HTTPStatus.BAD_REQUEST,
    RefusalCode.WRONG_SIGNER.value: HTTPStatus.FORBIDDEN,
    RefusalCode.WRONG_SIGNATURE.value: HTTPStatus.FORBIDDEN,
}


@dataclass(frozen=True, slots=True)
class Resource:
    """A line of the price list.

    Attributes:
        method: The HTTP method, or `wire.ANY_METHOD`.
        path: The path, or the host's rule for paths.
        tag: What it costs.
    """

    method: str
    path: str
    tag: PriceTag

    def as_json(self) -> dict[str, object]:
        """The line as the endpoint tells it."""
        price: int | str = VARIES
        if self.tag.is_fixed:
            price = 0 if self.tag.fixed is None else self.tag.fixed.amount
        return {"method": self.method, "path": self.path, "price": price, "asset": self.tag.asset}


def check_endpoint(path: object) -> None:
    """Checks that the endpoint can be there: a 402 names the path, and clients ask for it at the same host.

    Raises:
        WrongUse: When it is no path from the root of a host.
    """
    if not isinstance(path, str) or _PATH.fullmatch(path) is None:
        raise WrongUse(f"the path of the channel endpoint must be one like /payment, not {path!r}")


def require_own_path(endpoint: str | None, paths: Iterable[str]) -> None:
    """Checks that nothing of the host's is where the endpoint is: of the two only one would answer.

    Args:
        endpoint: Its path, or None if there is none.
        paths: Of the host's own routes.

    Raises:
        WrongUse: When something is.
    """
    if endpoint is not None and endpoint in paths:
        raise WrongUse(
            f"{endpoint} is the path of the channel endpoint and of a route of yours: give the Payment another path as"
            " `endpoint`, or None for no endpoint"
        )


class Endpoint:
    """Answers at the channel endpoint. An adapter hands it at most `MAX_BODY` + 1 bytes of a body.

    Args:
        server: The merchant.
        resources: Gives the price list.
        path: Where the endpoint is.
    """

    def __init__(
        self,
        server: PaymentServer,
        resources: Callable[[], Iterable[Resource]],
        path: str = wire.ENDPOINT_PATH,
    ) -> None:
        self._server = server
        self._resources = resources
        self._path = path

    def answer(self, request: Request) -> Answer:
        """Answers a request, whatever it holds."""
        if len(request.body) > MAX_BODY:
            return problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                RefusalCode.TOO_LARGE.value,
                f"the body is larger than {MAX_BODY} bytes",
            )
        if request.method == "GET":
            return self._tell(request)
        if request.method == "HEAD":
            return _without_body(self._tell(request))
        if request.method == "OPTIONS":
            return Answer(HTTPStatus.NO_CONTENT, (("Allow", ", ".join(METHODS)),), b"")
        if request.method == "POST":
            return self._announce(request)
        if request.method == "PUT":
            return self._pay(request)
        if request.method == "DELETE":
            return self._close(request)
        return problem(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "wrong_method",
            f"the channel endpoint takes {', '.join(METHODS)}",
            [("Allow", ", ".join(METHODS))],
        )

    # --- GET ---------------------------------------------------------------------------------------------------------

    def _tell(self, request: Request) -> Answer:
        try:
            aa_address = _aa_address(request)
            if aa_address is None:
                return _json(HTTPStatus.OK, self._terms())
            return _json(HTTPStatus.OK, _public(self._server.status(aa_address)))
        except Refusal as refusal:
            return _problem_of(refusal, _STATUS_OF_CLOSE)

    def _terms(self) -> dict[str, object]:
        terms = self._server.identify()
        return {
            "address": terms.address,
            "network": terms.network,
            "agent_versions": list(terms.agent_versions),
            "min_timeout": terms.min_timeout,
            "max_timeout": terms.max_timeout,
            "assets": list(terms.assets),
            "unconfirmed": {asset: asdict(limits) for asset, limits in terms.unconfirmed.items()},
            "resources": [resource.as_json() for resource in self._resources()],
        }

    # --- POST --------------------------------------------------------------------------------------------------------

    def _announce(self, request: Request) -> Answer:
        try:
            aa_address = self._server.open(_json_object(request).get(wire.PARAMETERS_FIELD))
        except Refusal as refusal:
            return _problem_of(refusal, {})
        except PaypercallError as error:
            return unavailable(error.code, "channels cannot be announced for now; try again")
        status = HTTPStatus.OK if self._is_known(aa_address) else HTTPStatus.ACCEPTED
        return _json(status, {"aa_address": aa_address})

    def _is_known(self, aa_address: str) -> bool:
        return self._server.server.channel(aa_address) is not None

    # --- PUT ---------------------------------------------------------------------------------------------------------

    def _pay(self, request: Request) -> Answer:
        terms = terms_headers(self._server.identify(), self._path)
        try:
            payment = self._server.receive_payment(_package(request))
        except (Refusal, PaymentRefused, CallConflict) as error:
            return refused(error, terms)
        except PaypercallError as error:
            return unavailable(error.code, "payments cannot be taken for now; try again with the same one")
        return _json(
            HTTPStatus.OK,
            {"token": payment.token, "receipt": wire.decode_receipt(payment.receipt)},
            ((wire.RECEIPT, payment.receipt),),
        )

    # --- DELETE ------------------------------------------------------------------------------------------------------

    def _close(self, request: Request) -> Answer:
        try:
            aa_address = _aa_address(request)
            if aa_address is None:
                raise _wrong_shape("name the channel: ?aa_address=")
            try:
                self._server.close(aa_address, request.headers.get(wire.SIGNATURE) or "", CLOSING_SECONDS)
                status = HTTPStatus.OK
            except ChannelTimeout as timeout:
                if _accepts_payments(self._server.status(aa_address)):
                    return unavailable(timeout.code, str(timeout))
                status = HTTPStatus.ACCEPTED
            return _json(status, _public(self._server.status(aa_address)))
        except Refusal as refusal:
            return _problem_of(refusal, _STATUS_OF_CLOSE, HTTPStatus.CONFLICT)
        except PaypercallError as error:
            return unavailable(error.code, "the channel cannot be closed for now; try again")


def _public(channel: ChannelBalance) -> dict[str, object]:
    """What the ledger shows of a channel, and whether it accepts payments."""
    return {
        "aa_address": channel.aa_address,
        "status": channel.status.value,
        "period": channel.period,
        "asset": channel.asset,
        "deposited": channel.deposited_by_peer,
        "accepts_payments": _accepts_payments(channel),
    }


def _accepts_payments(channel: ChannelBalance) -> bool:
    return channel.status is not Status.CLOSING and not channel.is_frozen and not channel.is_distrusted


def _aa_address(request: Request) -> str | None:
    """The channel that a query names, or None if it names none.

    Raises:
        Refusal: With `wrong_shape`.
    """
    query = parse_qs(request.query, keep_blank_values=True)
    if not query:
        return None
    if query.keys() != {"aa_address"} or len(query["aa_address"]) != 1:
        raise _wrong_shape("the query must be one aa_address, or empty")
    return query["aa_address"][0]


def _package(request: Request) -> Any:
    """The one package in a request: in the header, in a form, in a JSON object, or a JSON object itself.

    Raises:
        Refusal: With `wrong_shape`, `not_json` or `too_large`.
        PaymentRefused: With `several_payments`.
    """
    found = _packages(request)
    if len(found) > 1:
        raise PaymentRefused("send one payment, in one place", code="several_payments")
    if not found:
        raise _wrong_shape(
            f"send a package as header {wire.PACKAGE}, as field {wire.FIELD} of a form or JSON, or as JSON"
        )
    package = found[0]
    return wire.decode_package(package) if isinstance(package, str) else package


def _packages(request: Request) -> list[Any]:
    header = request.headers.get(wire.PACKAGE)
    found: list[Any] = [] if header is None else [header]
    if request.has_form:
        form = parse_qs(request.body.decode("latin-1"))
        return [*found, *(request.form_packages or form.get(wire.FIELD, ()))]
    if not request.body:
        return found
    content = _json_object(request)
    return [*found, *(packages_in_json(request.body) or [content])]


def _json_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object.

    Raises:
        Refusal: With `not_json` or `wrong_shape`.
    """
    if not request.has_json:
        raise _wrong_shape("the body must be application/json")
    try:
        content = json.loads(request.body)
    except (ValueError, RecursionError):
        raise Refusal(RefusalCode.NOT_JSON, "the body is no JSON") from None
    if not isinstance(content, dict):
        raise _wrong_shape("the body must be a JSON object")
    return content


def _wrong_shape(message: str) -> Refusal:
    return Refusal(RefusalCode.WRONG_SHAPE, message)


def _problem_of(
    refusal: Refusal, statuses: dict[str, HTTPStatus], otherwise: HTTPStatus = HTTPStatus.BAD_REQUEST
) -> Answer:
    return problem(statuses.get(refusal.code, otherwise), refusal.code, str(refusal))


def _json(status: HTTPStatus, content: dict[str, Any], headers: Iterable[tuple[str, str]] = ()) -> Answer:
    return Answer(
        status,
        (("Content-Type", "application/json"), ("Cache-Control", "no-store"), *headers),
        json.dumps(content).encode(),
    )


def _without_body(answer: Answer) -> Answer:
    return Answer(answer.status, answer.headers, b"")
