"""The merchant as the demonstration sees it: a process that was started, and an API behind HTTP.

It must not look into the process by any other way than HTTP, but for its log when something fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from paypercall.demo.expectations import DemoFailed

CALL_SECONDS = 60
STOPPING_SECONDS = 10
LAST_LINES = 12


@dataclass(frozen=True, slots=True)
class Reply:
    """What the merchant answered to one call: the HTTP status, the code of an error, and a refund as JSON."""

    status: int
    code: str | None
    refund: str | None

    def __str__(self) -> str:
        return f"{self.status} {self.code or ''}".rstrip()


class Merchant:
    """The merchant's API in a process of its own.

    Args:
        folder: The project's folder, which is made here.
        settings: Go into its `conf.py`.

    Raises:
        DemoFailed: The process does not come up.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        folder.mkdir()
        self.folder = folder
        self._served: set[str] = set()
        (folder / "conf.py").write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()))
        self._log_path = folder / "log.txt"
        with self._log_path.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "paypercall.demo.merchant"],
                cwd=folder,
                env={name: value for name, value in os.environ.items() if not name.startswith("PAYPERCALL_")},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demonstration, which then ends this process in order
            )
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy stands between two processes of one machine
        try:
            self.url = f"http://127.0.0.1:{self._read_port()}"
            self.address: str = self._request("GET", "/").json()["peer_address"]
        except BaseException:
            self.stop()
            raise

    @property
    def served(self) -> int:
        """How many packages were served, each once however often it was sent."""
        return len(self._served)

    def call(self, package: Mapping[str, Any]) -> Reply:
        """Makes one paid call.

        Raises:
            DemoFailed: There is no answer, or not the API's.
        """
        text = json.dumps(package)
        response = self._request("POST", "/call", data={"payment_package": text})
        try:
            body = response.json()
        except requests.JSONDecodeError:
            raise DemoFailed(f"the merchant's API answers {response.status_code}, without JSON") from None
        if response.ok:
            self._served.add(text)
        return Reply(response.status_code, body.get("code"), body.get("payment_package"))

    def log_tail(self) -> str:
        """The end of the process's log."""
        lines = self._log_path.read_text(errors="replace").splitlines()
        return "\n".join(lines[-LAST_LINES:])

    def stop(self) -> None:
        """Ends the process and waits for it; a second time does nothing."""
        self._session.close()
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOPPING_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()

    def _read_port(self) -> int:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.strip():
            raise DemoFailed(f"the merchant does not start; its log ends with:\n{self.log_tail()}")
        return int(line)

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            return self._session.request(method, self.url + path, timeout=CALL_SECONDS, **options)
        except requests.RequestException as error:
            raise DemoFailed(f"the merchant's API does not answer: {type(error).__name__}") from error
