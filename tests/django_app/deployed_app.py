"""A payable Django project as a host would deploy it; its settings are in `payments.json`, and beside it its runs."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

FOLDER = Path(os.environ["PAYPERCALL_DATA_DIR"])

settings.configure(
    SECRET_KEY="of a test",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["paypercall.django"],
    MIDDLEWARE=["paypercall.django.middleware.PaymentMiddleware"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": FOLDER / "paypercall.sqlite",
            "ATOMIC_REQUESTS": True,
        }
    },
    PAYPERCALL=json.loads((FOLDER / "payments.json").read_text()),
    LOGGING_CONFIG=None,
)
app = get_wsgi_application()

from paypercall.django import payment  # noqa: E402 - as a URLconf does, when the project is set up


def runs(name: str) -> int:
    """Counts the runs of a view, over all workers."""
    file_path = FOLDER / f"{name}.txt"
    with file_path.open("a") as file:
        file.write("run\n")
    return len(file_path.read_text().splitlines())


def process(request: HttpRequest) -> JsonResponse:
    """Tells the worker, which stays the same on one connection."""
    return JsonResponse({"process": os.getpid()})


@payment.required(100)
def counted(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"run": runs("counted")})


@payment.required(100)
def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError(f"run {runs('broken')}")


@payment.required(100)
def deadly(request: HttpRequest) -> JsonResponse:
    """Takes its worker down the first time."""
    number = runs("deadly")
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return JsonResponse({"run": number})


urlpatterns = [path(view.__name__, view) for view in (process, counted, broken, deadly)]
