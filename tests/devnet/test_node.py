"""The node behind its lock: what becomes of a change that breaks off in its middle."""

from __future__ import annotations

from pathlib import Path

import pytest

from paypercall.devnet.form import Refused
from paypercall.devnet.journal import Journal
from tests.devnet.local_node import LocalNode, make_key, payment


def test_a_change_that_was_broken_off_is_built_on_by_nobody(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    local = LocalNode(journal=journal)
    customer = local.account(1, 100_000)
    unit = local.compose(customer, payment(make_key(2).address, 100))
    journal.close()
    with pytest.raises(ValueError, match="closed file"):
        local.node.post({"unit": unit})
    with pytest.raises(Refused, match="broken off"):
        local.node.step()
    with pytest.raises(Refused, match="broken off"):
        local.node.post({"unit": unit})
