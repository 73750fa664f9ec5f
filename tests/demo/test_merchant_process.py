"""The merchant's process fails in a way that a person can do something with."""

from __future__ import annotations

from pathlib import Path

import pytest

from paypercall.demo.expectations import DemoFailed
from paypercall.demo.merchant_process import Merchant
from paypercall.devnet import Devnet
from tests.parties import settings_for


def test_a_merchant_that_does_not_start_is_reported_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(DemoFailed) as caught:
        Merchant(tmp_path / "merchant", {"network": "moon"})
    first, *log = str(caught.value).splitlines()
    assert first == "the merchant does not start; its log ends with:"
    assert "network must be one of" in log[-1]


def test_a_merchant_that_is_gone_is_reported(tmp_path: Path) -> None:
    with Devnet(speed=20) as net:
        merchant = Merchant(tmp_path / "merchant", settings_for(net, tmp_path / "merchant"))
        merchant.stop()
        merchant.stop()
        with pytest.raises(DemoFailed, match="the merchant's API does not answer: ConnectionError"):
            merchant.call({})


def test_an_answer_that_is_not_the_apis_is_reported(tmp_path: Path) -> None:
    with Devnet(speed=20) as net:
        merchant = Merchant(tmp_path / "merchant", settings_for(net, tmp_path / "merchant"))
        try:
            merchant.url += "/nowhere"
            with pytest.raises(DemoFailed, match="the merchant's API answers 404, without JSON"):
                merchant.call({})
            assert merchant.served == 0
        finally:
            merchant.stop()
