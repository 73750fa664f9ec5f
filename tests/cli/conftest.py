"""A network and a host's project on it, for the tests of the commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from paypercall.devnet import Devnet
from tests.cli.project import Project


@pytest.fixture
def net() -> Iterator[Devnet]:
    with Devnet(speed=20) as net:
        yield net


@pytest.fixture
def project(net: Devnet, tmp_path: Path) -> Project:
    return Project(net, tmp_path / "project")
