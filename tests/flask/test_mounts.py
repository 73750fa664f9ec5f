"""A payable Flask app that is mounted twice, through Flask's real server."""

from __future__ import annotations

from pathlib import Path

from flask import Flask, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from paypercall.flask import Payment
from tests.flask.site import code_in, open_site, served


def test_the_same_path_below_another_mount_is_another_request_and_the_root_in_the_settings_means_nothing(
    tmp_path: Path,
) -> None:
    with open_site(tmp_path) as site:
        app = Flask(__name__)
        payment = Payment(app, site.merchant)

        @app.get("/where")
        @payment.required(100)
        def where() -> str:
            return request.root_path + request.path

        app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/v1": app.wsgi_app, "/v2": app.wsgi_app})  # type: ignore[method-assign]
        with served(app) as site.url:
            package = site.pay()
            first = site.ask("/v1/where", package)
            assert (first.status_code, first.text) == (200, "/v1/where")
            assert code_in(site.ask("/v2/where", package)) == (409, "payment_used")
            assert code_in(site.ask("/where", package)) == (409, "payment_used")
            app.config["APPLICATION_ROOT"] = "/v2"
            again = site.ask("/v1/where", package)
            assert (again.status_code, again.text) == (200, "/v1/where")
