"""A view of Django that comes to its answer too late: another worker has taken over, and refunded the payment."""

from __future__ import annotations

import pytest

from tests.django_app.conftest import Site


@pytest.mark.parametrize("path", ["lost/whole", "lost/stream", "lost/failure"])
def test_the_answer_of_a_lost_run_is_not_given(site: Site, path: str) -> None:
    response = site.paid(path)
    assert (response.status_code, response.json()["code"]) == (402, "refunded")
    assert "X-Secret" not in response.headers and not response.cookies
    assert b"worth money" not in response.content
