"""What `manage.py check` says of a project that could not take payments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from paypercall.django.middleware import PATH


@register
def check_middleware(app_configs: Sequence[Any] | None, **_: Any) -> list[CheckMessage]:
    """Whether the middleware is there, without which payable views refuse every request, and in its place."""
    hint = f"Put {PATH!r} first in MIDDLEWARE."
    if PATH not in settings.MIDDLEWARE:
        return [Error("the payment middleware is missing", hint=hint, id="paypercall.E001")]
    if settings.MIDDLEWARE[0] != PATH:
        what = (
            "middleware above the payment middleware may replace answers, and receipts and refunds with them"
        )
        return [Warning(what, hint=hint, id="paypercall.W001")]
    return []
