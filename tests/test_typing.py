"""The programs in the documents pass a type checker: a host that has one is told nothing wrong of this package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.documentation import DOCUMENTS, ROOT, python_blocks, unknown_names

CONFIGURATION = """\
[mypy]
check_untyped_defs = True

[mypy-msgpack]
ignore_missing_imports = True
"""


def test_the_programs_in_the_documents_are_well_typed(tmp_path: Path) -> None:
    programs = [program for document in DOCUMENTS for program in python_blocks(document)]
    whole = [program for program in programs if not unknown_names(program)]
    assert len(whole) > 20
    for number, program in enumerate(whole):
        (tmp_path / f"program_{number}.py").write_text(program)
    (tmp_path / "mypy.ini").write_text(CONFIGURATION)
    checker = [sys.executable, "-m", "mypy", "."]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    checked = subprocess.run(
        checker, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
