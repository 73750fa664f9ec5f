"""The views of the project."""

from __future__ import annotations

import asyncio
import io
import random
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
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
    async_price_of_what_is_left,
    endless_async_parts,
    endless_parts,
    length_price,
    parts,
    parts_that_break_off,
    price_of_what_is_left,
)
from tests.paywall.merchant import refund_elsewhere

OTHER_ASSET = "A" * 43 + "="


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


@csrf_exempt
@payment.required(price_of_what_is_left)
def one_of_each(request: HttpRequest, kind: str) -> JsonResponse:
    RUNS.append(request.get_full_path())
    if kind == "fails":
        raise RuntimeError("the view is broken")
    return JsonResponse({"runs": len(RUNS)})


@csrf_exempt
@payment.required(async_price_of_what_is_left)
async def async_one_of_each(request: HttpRequest, kind: str) -> JsonResponse:
    RUNS.append(request.get_full_path())
    if kind == "fails":
        raise RuntimeError("the view is broken")
    return JsonResponse({"runs": len(RUNS)})


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


@csrf_exempt
def never_payable(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("not even a price")


@csrf_exempt
@payment.required(lambda request: 1 // 0)
def no_price(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@payment.required(100)
def seen_headers(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"headers": list(request.headers), "meta": list(request.META)})


@csrf_exempt
@payment.required(lambda request: None if request.headers.get("X-Member") else 100)
def form_for_members(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"size": len(request.POST["text"] if "raw" not in request.GET else request.body)})


@csrf_exempt
@payment.required(lambda request: request.POST.get("text") and None)
def free_form(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"size": len(request.POST["text"])})


@csrf_exempt
@payment.required(lambda request: None if request.headers.get("X-Member") else 100)
async def async_form_for_members(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"size": len(request.POST["text"])})


def in_a_stream(request: HttpRequest) -> StreamingHttpResponse:
    """Has no price of its own."""
    return StreamingHttpResponse(view(request).content for view in [temperature])


class Late(View):
    """Fails, or has nothing to say, after its method has answered."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        response = super().dispatch(request, *args, **kwargs)
        if request.GET.get("fails"):
            raise RuntimeError("the class is broken")
        return response

    @method_decorator(payment.required(100))
    def get(self, request: HttpRequest) -> HttpResponse:
        RUNS.append("late")
        User.objects.create(username="late")
        return HttpResponse("done")


class AsyncLate(View):
    """The same, async."""

    async def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        await super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        raise RuntimeError("the class is broken")

    async def get(self, request: HttpRequest) -> HttpResponse:
        RUNS.append("late")
        return await async_done(request)


@payment.required(100)
async def async_done(request: HttpRequest) -> HttpResponse:
    return HttpResponse("done")


@payment.required(100)
def report(request: HttpRequest) -> HttpResponse:
    return HttpResponse("report", headers={"ETag": '"v1"'})


@payment.required(100)
def flat_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("nothing here", status=404, headers={"X-Flat-Page": "yes"})


@payment.required(100)
def replaced(request: HttpRequest) -> HttpResponse:
    return HttpResponse("replaced", headers={"X-Flat-Page": "yes"})


@payment.required(100)
def fault_of_a_middleware(request: HttpRequest) -> HttpResponse:
    return HttpResponse("done", headers={"X-Fault": "yes"})


@csrf_exempt
@payment.required(100)
def long_json(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"text": "x" * 1000})


def one_after_the_other(request: HttpRequest) -> HttpResponse:
    """Has no price of its own."""
    {"temperature": temperature, "free": free}[request.GET["first"]](request)
    return report(request)


@payment.required(100)
async def left_early(request: HttpRequest) -> HttpResponse:
    RUNS.append("left-early")
    return HttpResponse("done")


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


@cache_page(60)
@payment.required(lambda request: None if request.headers.get("X-Member") else 100)
def free_for_members(request: HttpRequest) -> HttpResponse:
    return HttpResponse("worth money")


@cache_page(60)
@payment.required(lambda request: None if request.headers.get("X-Member") else 100)
async def async_free_for_members(request: HttpRequest) -> HttpResponse:
    return HttpResponse("worth money")


@payment.required(lambda request: None if request.headers.get("X-Member") else 100)
@cache_page(60, key_prefix="paid")
def cached_below_its_price(request: HttpRequest) -> HttpResponse:
    RUNS.append("cached-below")
    return HttpResponse("worth money")


def site_wide(request: HttpRequest) -> HttpResponse:
    """As behind the middleware of a cache of the whole site."""
    return cache_page(60)(cached_below_its_price)(request)


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


FILE = random.Random(1).randbytes(300_000)


@payment.required(100)
def whole_file(request: HttpRequest) -> FileResponse:
    return FileResponse(io.BytesIO(FILE))


@payment.required(100)
async def async_whole_file(request: HttpRequest) -> FileResponse:
    return FileResponse(io.BytesIO(FILE))


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


@payment.required(async_price)
def with_async_price(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"answer": 42})


@method_decorator([csrf_exempt, payment.required(100)], name="dispatch")
class AsyncReport(View):
    """A class whose methods are async, and cost something through what calls them."""

    async def get(self, request: HttpRequest) -> JsonResponse:
        if request.GET.get("fails"):
            raise Http404
        return JsonResponse({"paid": payment.amount})


class AsyncMethod(View):
    """An async method with an async price."""

    @method_decorator(payment.required(async_price))
    async def get(self, request: HttpRequest) -> JsonResponse:
        return JsonResponse({"paid": payment.amount})


@payment.required(100, OTHER_ASSET)
def other_asset(request: HttpRequest) -> HttpResponse:
    RUNS.append("other-asset")
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
    ("one-of-each/<str:kind>", one_of_each),
    ("async-one-of-each/<str:kind>", async_one_of_each),
    ("async", asynchronous),
    ("async-price", priced_asynchronously),
    ("echo", csrf_exempt(Echo.as_view())),
    ("raw", raw),
    ("order", csrf_exempt(Order.as_view())),
    ("by-form", read_before),
    ("cached", cached),
    ("never-payable", never_payable),
    ("no-price", no_price),
    ("seen-headers", seen_headers),
    ("form-for-members", form_for_members),
    ("async-form-for-members", async_form_for_members),
    ("free-form", free_form),
    ("in-a-stream", in_a_stream),
    ("late", Late.as_view()),
    ("async-late", transaction.non_atomic_requests(AsyncLate.as_view())),
    ("report", report),
    ("flat-page", flat_page),
    ("replaced", replaced),
    ("fault-of-a-middleware", fault_of_a_middleware),
    ("long-json", long_json),
    ("one-after-the-other", one_after_the_other),
    ("left-early", left_early),
    ("free-for-members", free_for_members),
    ("async-free-for-members", async_free_for_members),
    ("site-wide", site_wide),
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
    ("whole-file", whole_file),
    ("async-whole-file", async_whole_file),
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
    ("with-async-price", with_async_price),
    ("async-report", AsyncReport.as_view()),
    ("async-method", transaction.non_atomic_requests(AsyncMethod.as_view())),
    ("other-asset", other_asset),
]
urlpatterns = [
    path("payment", include("paypercall.django.urls")),
    path("", include("tests.django_app.rest_framework_views")),
    path("", include("tests.django_app.ninja_views")),
    *(path(route, view) for route, view in views),
]
