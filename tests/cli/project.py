"""A host's folder on a local network, and the command `paypercall` run in it as a process, as a person runs it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from paypercall.devnet import Devnet
from tests.parties import settings_for

SECONDS = 60
COMMAND = [sys.executable, "-m", "paypercall", "wallet"]


class Project:
    """A folder with a `.env` that leads to a network.

    Args:
        net: The network.
        folder: Where; it is made.
    """

    def __init__(self, net: Devnet, folder: Path) -> None:
        self.folder = folder
        self.key_path = folder / "keys.json"
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            **settings_for(net, folder),
            "data_dir": ".",
            "database_url": "sqlite:///paypercall.sqlite",
        }
        lines = [
            f"PAYPERCALL_{name.upper()}='{value if isinstance(value, str) else json.dumps(value)}'\n"
            for name, value in settings.items()
        ]
        (folder / ".env").write_text("".join(lines))

    def run(
        self, *arguments: str, given: str = "", environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs `paypercall wallet` with arguments, away from any terminal, to its end."""
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=_environment(environment),
            input=given,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def ok(self, *arguments: str, **options: object) -> str:
        """Runs a command that succeeds, and returns what it prints."""
        result = self.run(*arguments, **options)  # type: ignore[arg-type]
        assert result.returncode == 0, result.stderr
        return result.stdout

    def fails(self, *arguments: str, **options: object) -> str:
        """Runs a command that fails for a reason that it can name, and returns the line that it prints."""
        result = self.run(*arguments, **options)  # type: ignore[arg-type]
        assert (result.returncode, result.stderr.count("\n")) == (1, 1), result
        return result.stderr

    def at_terminal(
        self, *arguments: str, answers: Sequence[str] = (), environment: dict[str, str] | None = None
    ) -> tuple[int, str]:
        """Runs a command at a terminal of its own, where a person answers each question.

        Returns:
            Its exit status, and all that was to be seen.
        """
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=_environment(environment),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        seen, pending = b"", list(answers)
        with process, suppress(OSError):  # at its end a terminal fails to be read
            while chunk := os.read(ours, 4096):
                seen += chunk
                if pending and seen.endswith(b": "):  # only now the echo is off
                    os.write(ours, pending.pop(0).encode() + b"\n")
        os.close(ours)
        assert not pending, f"{pending} was never asked for; seen: {seen.decode()}"
        return process.returncode, seen.decode().replace("\r\n", "\n")


def _environment(more: dict[str, str] | None) -> dict[str, str]:
    return {**os.environ, **(more or {})}
