"""The view below a price: its transaction, its response, and what its failures stand for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.db import connections, transaction
from django.http import Http404, HttpResponseBase
from django.http.multipartparser import MultiPartParserError
from django.template.response import SimpleTemplateResponse

from paypercall.paywall import Running, WrongUse
from paypercall.paywall.current import CURRENT


def is_awaited(view: Callable[..., Any]) -> bool:
    """Whether a view is async, such as the `dispatch` of a class whose methods are: that itself is not."""
    # `method_decorator` hands in a partial of the bound method.
    instance = getattr(getattr(view, "func", view), "__self__", None)
    return iscoroutinefunction(view) or getattr(instance, "view_is_async", False) is True


def atomic_as_configured(view: Callable[..., Any]) -> Callable[..., Any]:
    """The view in the transactions that ATOMIC_REQUESTS asks for, unless it was told to be in none."""
    without: set[str] = getattr(view, "_non_atomic_requests", set())

    @functools.wraps(view)
    def atomic(*args: Any, **kwargs: Any) -> Any:
        run = view
        for alias, values in connections.settings.items():
            if values.get("ATOMIC_REQUESTS") and alias not in without:
                run = transaction.atomic(using=alias)(run)
        return run(*args, **kwargs)

    return atomic


def status_of(error: Exception) -> int:
    """The status that an exception stands for, whatever the project's handler makes of it."""
    if isinstance(error, Http404):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, PermissionDenied):
        return HTTPStatus.FORBIDDEN
    if isinstance(error, (BadRequest, MultiPartParserError, SuspiciousOperation)):
        return HTTPStatus.BAD_REQUEST
    status = getattr(error, "status_code", None)  # as the exceptions of frameworks on top have
    return status if isinstance(status, int) else HTTPStatus.INTERNAL_SERVER_ERROR


def require_response(response: Any) -> HttpResponseBase:
    """A view's response.

    Raises:
        WrongUse: When it is none.
    """
    if not isinstance(response, HttpResponseBase):
        raise WrongUse(f"a view must return a response, not {type(response).__name__}")
    return response


def rendered(response: HttpResponseBase) -> HttpResponseBase:
    """A response whose content is there, which a `TemplateResponse` is not yet."""
    render = getattr(response, "render", None)
    return render() if callable(render) else response


def watch_rendering(
    running: Running, response: HttpResponseBase, fail: Callable[[Running, int], None]
) -> None:
    """Refunds a response that is rendered later, by whoever stands around the view, and then cannot be.

    Args:
        running: What was paid.
        response: The view's.
        fail: Notes a failure by the status that it stands for.
    """
    if not isinstance(response, SimpleTemplateResponse) or response.is_rendered:
        return
    render = response.render

    def watched() -> SimpleTemplateResponse:
        del response.render
        token = CURRENT.set(running)
        try:
            return render()
        except Exception as error:
            fail(running, status_of(error))
            raise
        finally:
            CURRENT.reset(token)

    response.render = watched  # type: ignore[method-assign]
