"""What `manage.py check` says of a project that could not take payments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from paypercall.django.middleware import PATH


@register
def check_middleware(app_configs: Sequence[Any] | None, **_: Any) -> list[CheckMessage]:
    """Whether the middleware is there, without which payable views refuse every request."""
    if PATH in settings.MIDDLEWARE:
        return []
    return [
        Error("the payment middleware is missing", hint=f"Add {PATH!r} to MIDDLEWARE.", id="paypercall.E001")
    ]
