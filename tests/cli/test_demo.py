"""The command `demo` before it starts anything: what it needs."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("package", ["rich", "flask"])
def test_without_the_packages_of_the_extra_it_says_how_to_get_them(package: str) -> None:
    script = f"""
import sys
sys.modules[{package!r}] = None  # as if it were not installed
from paypercall.cli import main
sys.exit(main(["demo"]))
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    expected = f"paypercall: the demo needs {package}: run `pip install 'paypercall[demo]'`\n"
    assert (result.returncode, result.stdout, result.stderr) == (1, "", expected)
