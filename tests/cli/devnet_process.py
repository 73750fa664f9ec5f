"""`paypercall devnet` as a process of its own, as a person runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LAST_LINE = re.compile(r'PAYPERCALL_MNEMONIC="[a-z ]+"\n')


@contextmanager
def running_devnet(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yields the process of `paypercall devnet` and all that it prints once it is ready."""
    command = [sys.executable, "-m", "paypercall", "devnet", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            printed = ""
            for line in process.stdout:
                printed += line
                if LAST_LINE.fullmatch(line):
                    break
            yield process, printed
        finally:
            process.kill()
