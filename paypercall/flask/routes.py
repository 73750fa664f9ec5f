"""What the routes of a Flask app are, besides the payable views."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Flask

from paypercall.paywall.endpoint import METHODS


def paths_beside(app: Flask, name: str) -> Iterator[str]:
    """The paths of the app's routes that would take requests from one of its routes if they had the same path.

    Args:
        app: The app.
        name: By which Flask knows the channel endpoint.
    """
    [endpoint] = app.url_map.iter_rules(name)
    for rule in app.url_map.iter_rules():
        methods = set(METHODS if rule.methods is None else rule.methods)
        if getattr(rule, "provide_automatic_options", False):
            methods.discard("OPTIONS")
        is_same_host = (rule.subdomain, rule.host) == (endpoint.subdomain, endpoint.host)
        if rule is not endpoint and is_same_host and not methods.isdisjoint(METHODS):
            yield rule.rule
