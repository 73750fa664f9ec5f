"""The views of the project."""

from __future__ import annotations

import asyncio
import io
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_page
from django.views.decorators.csrf import csrf_exempt

from paypercall import wire
from paypercall.django import WrongUse, payment
from tests.django_app.project import (
    RUNS,
    async_parts,
    async_parts_that_break_off,
    endless_async_parts,
    endless_parts,
    length_price,
    parts,
    parts_that_break_off,
)
from tests.paywall.merchant import refund_elsewhere


@payment.required(100)
def temperature(request: HttpRequest) -> JsonResponse:
    RUNS.append("temperature")
    response = JsonResponse({"celsius": 21})
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


@payment.required(length_price)
def by_length(request: HttpRequest, length: int) -> JsonResponse:
    return JsonResponse({"length": length})


@payment.required(100)
async def asynchronous(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"answer": 42})


async def async_price(request: HttpRequest) -> int:
    return 70


@payment.required(async_price)
async def priced_asynchronously(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"answer": 42})


async def async_form_price(request: HttpRequest) -> int:
    return len(request.POST["text"])


class Echo(View):
    @method_decorator(payment.required(100))
    def post(self, request: HttpRequest) -> JsonResponse:
        files = {name: len(file.read()) for name, file in request.FILES.items()}  # type: ignore[union-attr]
        return JsonResponse({"text": request.POST.get("text"), "files": files})

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("free")


class Order(View):
    """Writes within the transaction that ATOMIC_REQUESTS opens around the whole class."""

    @method_decorator(payment.required(100))
    def post(self, request: HttpRequest) -> HttpResponse:
        User.objects.create(username="ordered")
        if request.GET.get("fails"):
            raise RuntimeError("the view is broken")
        return HttpResponse("ordered")


def form_price(request: HttpRequest) -> int:
    return 10 * len(request.POST["text"])


@payment.required(form_price)
def by_form(request: HttpRequest) -> JsonResponse:
    RUNS.append("by-form")
    return JsonResponse({"text": request.POST["text"], "file": request.FILES["file"].read().decode()})  # type: ignore[union-attr]


@csrf_exempt
def read_before(request: HttpRequest) -> HttpResponse:
    """As behind a middleware that looks into forms."""
    request.POST.get("csrfmiddlewaretoken")
    return by_form(request)


@cache_page(60)
@payment.required(100)
def cached(request: HttpRequest) -> HttpResponse:
    return HttpResponse(
        "worth money", headers={"Cache-Control": "max-age=60", wire.RECEIPT: "of somebody else"}
    )


@csrf_exempt
@payment.required(100)
def raw(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body, content_type="application/octet-stream")


@csrf_exempt
@payment.required(lambda request: len(request.POST["text"]))
def priced_form(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"text": request.POST["text"]})


@csrf_exempt
@payment.required(async_form_price)
async def async_priced_form(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"text": request.POST["text"]})


@payment.required(100)
def missing(request: HttpRequest) -> HttpResponse:
    raise Http404("nothing here")


@payment.required(100)
def mended(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied("mended")


@payment.required(100)
async def async_mended(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied("mended")


def handler403(request: HttpRequest, exception: Exception) -> HttpResponse:
    return HttpResponse(str(exception), status=200 if str(exception) == "mended" else 403)


@payment.required(100)
def forbidden(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


@payment.required(100)
def broken(request: HttpRequest) -> HttpResponse:
    User.objects.create(username="rolled back")
    raise RuntimeError("the view is broken")


@payment.required(100)
def writes(request: HttpRequest) -> HttpResponse:
    User.objects.create(username="kept")
    return HttpResponse("written")


@payment.required(100)
async def async_broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the view is broken")


@payment.required(100)
def reported(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("reported")


@payment.required(100)
async def async_reported(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("reported")


@payment.required(100)
async def slowly_broken(request: HttpRequest) -> HttpResponse:
    RUNS.append("slowly-broken")
    await asyncio.sleep(0.5)
    raise RuntimeError("nobody waits any more")


@payment.required(100)
def nothing_found(request: HttpRequest) -> JsonResponse:
    payment.refund(60)
    return JsonResponse({"found": []})


@payment.required(100)
def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts(), content_type="text/event-stream")


@payment.required(100)
async def async_stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(async_parts(), content_type="text/event-stream")


@payment.required(100)
def breaks_off(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts_that_break_off(), content_type="text/event-stream")


@payment.required(100)
async def async_breaks_off(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(async_parts_that_break_off(), content_type="text/event-stream")


class Unreadable(io.BytesIO):
    """A file on a disk that fails after its beginning."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 10_000:
            raise OSError("the disk fails")
        return super().read(size)


@payment.required(100)
def broken_file(request: HttpRequest) -> FileResponse:
    return FileResponse(Unreadable(b"data: 0\n\n" * 10_000))


@payment.required(100)
def endless(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(endless_parts(), content_type="text/event-stream")


@payment.required(100)
async def async_endless(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(endless_async_parts(), content_type="text/event-stream")


@payment.required(100)
def template(request: HttpRequest) -> TemplateResponse:
    return TemplateResponse(request, engines["django"].from_string("{{ word }}"), {"word": "rendered"})


@payment.required(100)
def bad_template(request: HttpRequest) -> TemplateResponse:
    return TemplateResponse(request, engines["django"].from_string("{% include 'no_such' %}"), {})


@payment.required(100)
async def async_bad_template(request: HttpRequest) -> TemplateResponse:
    return TemplateResponse(request, engines["django"].from_string("{% include 'no_such' %}"), {})


@payment.required(100)
async def slow(request: HttpRequest) -> HttpResponse:
    RUNS.append("slow")
    await asyncio.sleep(0.5)
    return HttpResponse("slow")


@payment.required(100)
def both(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"text": temperature(request).content.decode()})


@payment.required(0)
def free(request: HttpRequest) -> JsonResponse:
    payment.refund(5)
    return JsonResponse({"amount": payment.amount, "asset": payment.asset})


@payment.required(None)
async def async_free(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"amount": payment.amount})


def unpaid(request: HttpRequest) -> HttpResponse:
    try:
        payment.refund()
    except WrongUse as error:
        return HttpResponse(error.code)
    return HttpResponse("refunded")


@payment.required(lambda request: "much")
def odd(request: HttpRequest) -> HttpResponse:
    RUNS.append("odd")
    return HttpResponse()


@payment.required(lambda request: async_price(request))
def mixed(request: HttpRequest) -> HttpResponse:
    RUNS.append("mixed")
    return HttpResponse()


@payment.required(100)
def lost(request: HttpRequest, how: str) -> HttpResponse | StreamingHttpResponse:
    running = payment._running()
    assert running is not None
    refund_elsewhere(payment.project.server.calls, running)
    if how == "failure":
        raise Http404
    secret = b"worth money"
    response = HttpResponse(secret) if how == "whole" else StreamingHttpResponse(iter([secret]))
    response["X-Secret"] = "yes"
    response.set_cookie("a", "1")
    return response


views: list[tuple[str, Any]] = [
    ("lost/<str:how>", lost),
    ("temperature", temperature),
    ("by-length/<int:length>", by_length),
    ("async", asynchronous),
    ("async-price", priced_asynchronously),
    ("echo", csrf_exempt(Echo.as_view())),
    ("raw", raw),
    ("order", csrf_exempt(Order.as_view())),
    ("by-form", read_before),
    ("cached", cached),
    ("priced-form", priced_form),
    ("async-priced-form", async_priced_form),
    ("missing", missing),
    ("forbidden", forbidden),
    ("broken", broken),
    ("writes", writes),
    ("async-broken", async_broken),
    ("reported", reported),
    ("async-reported", async_reported),
    ("slowly-broken", slowly_broken),
    ("nothing-found", nothing_found),
    ("stream", stream),
    ("async-stream", async_stream),
    ("breaks-off", breaks_off),
    ("async-breaks-off", async_breaks_off),
    ("broken-file", broken_file),
    ("endless", endless),
    ("async-endless", async_endless),
    ("template", template),
    ("bad-template", bad_template),
    ("slow", slow),
    ("mended", mended),
    ("async-mended", async_mended),
    ("async-bad-template", async_bad_template),
    ("both", both),
    ("free", free),
    ("async-free", async_free),
    ("unpaid", unpaid),
    ("odd", odd),
    ("mixed", mixed),
]
urlpatterns = [
    path("payment", include("paypercall.django.urls")),
    *(path(route, view) for route, view in views),
]
