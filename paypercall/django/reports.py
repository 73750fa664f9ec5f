"""Keeps payments out of what is told of an error: mails to the owners, Django's page for developers, other reporters.

Who has a package that was not used has its money.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from django.http import HttpRequest, QueryDict
from django.http.request import HttpHeaders
from django.views.debug import get_default_exception_reporter_filter

from paypercall.wire import FIELD

_ATTRIBUTE = "_paypercall_headers"
_PREFIX = f"{HttpHeaders.HTTP_PREFIX}PAYMENT_"
_HIDDEN = "********************"


def hide_payment(request: HttpRequest) -> None:
    """Moves the headers of a payment to where only `Headers` finds them, and has reports not show one in a form."""
    names = [name for name in request.META if name.startswith(_PREFIX)]
    setattr(request, _ATTRIBUTE, {name: request.META.pop(name) for name in names})
    report_filter = get_default_exception_reporter_filter()
    setattr(request, "exception_reporter_filter", _FilterOfForms(report_filter))  # noqa: B010  it has another type


class Headers:
    """The headers of a request as they came, those of a payment included. Only what is asked for is read."""

    __slots__ = ("_hidden", "_shown")

    def __init__(self, request: HttpRequest) -> None:
        self._shown: dict[str, str] = request.META
        self._hidden: dict[str, str] = getattr(request, _ATTRIBUTE, {})

    def get(self, name: str) -> str | None:
        """The value of a header."""
        key = _environment_name(name)
        return self._hidden[key] if key in self._hidden else self._shown.get(key)

    def items(self) -> Iterable[tuple[str, str]]:
        """Names and values."""
        return HttpHeaders({**self._shown, **self._hidden}).items()


@cache
def _environment_name(name: str) -> str:
    return HttpHeaders.to_wsgi_name(name)


class _FilterOfForms:
    """The project's filter of reports, which does not show a package in a form, either.

    Args:
        project: The project's.
    """

    def __init__(self, project: Any) -> None:
        self._project = project

    def __getattr__(self, name: str) -> Any:
        return getattr(self._project, name)

    def get_post_parameters(self, request: HttpRequest | None) -> Any:
        """The fields of the form that are shown."""
        fields: QueryDict = self._project.get_post_parameters(request)
        if FIELD not in fields:
            return fields
        shown = fields.copy()
        shown[FIELD] = _HIDDEN
        return shown
