"""Payable views of Django REST framework, which puts a request of its own around Django's."""

from __future__ import annotations

import time
from typing import Any

from django.http import JsonResponse
from django.urls import path
from django.utils.decorators import method_decorator
from rest_framework.decorators import api_view
from rest_framework.exceptions import NotFound
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from paypercall.django import payment
from tests.django_app.project import RUNS


class Unrenderable:
    """What no renderer takes."""


class Lazy:
    """What is asked for its value when it is rendered."""

    def __init__(self, how: str) -> None:
        self.how = how

    def tolist(self) -> list[int]:
        if self.how == "reported":
            raise RuntimeError(self.how)
        return [payment.amount]


def answer(request: Any) -> Response | JsonResponse:
    RUNS.append(request.path)
    how = request.query_params.get("how")
    if how == "slow":
        time.sleep(0.6)
    if how in ("lazy", "reported"):
        return Response({"amount": Lazy(how)})
    if how == "missing":
        raise NotFound
    if how == "error":
        return Response({"error": "bad"}, status=400)
    if how == "unrenderable":
        return Response({"bad": Unrenderable()})
    if how == "django":
        return JsonResponse({"amount": payment.amount})
    return Response({"amount": payment.amount, "data": request.data}, headers={"X-Own": "yes"})


class Plain(APIView):
    authentication_classes: tuple[()] = ()
    permission_classes: tuple[()] = ()
    renderer_classes = (JSONRenderer,)


class Method(Plain):
    @method_decorator(payment.required(100))
    def get(self, request: Any) -> Any:
        return answer(request)

    @method_decorator(payment.required(lambda request: 10 * len(request.data["text"])))
    def post(self, request: Any) -> Any:
        return answer(request)


class Dispatch(Plain):
    def get(self, request: Any) -> Any:
        return answer(request)

    post = get


def function(request: Any) -> Any:
    return answer(request)


def plain(view: Any) -> Any:
    """Without what needs more applications and settings of Django."""
    for name in ("authentication_classes", "permission_classes", "renderer_classes"):
        setattr(view, name, getattr(Plain, name))
    return view


urlpatterns = [
    path("rest/method", Method.as_view()),
    path("rest/below", api_view(["GET", "POST"])(payment.required(100)(plain(function)))),
    path("rest/above", payment.required(100)(api_view(["GET", "POST"])(plain(function)))),
    path("rest/class", payment.required(100)(Dispatch.as_view())),
]
