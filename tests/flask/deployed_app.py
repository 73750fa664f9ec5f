"""A payable Flask app as a host would deploy it; its settings, and where it counts its runs, are in the environment."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from flask import Flask
from flask.typing import ResponseReturnValue

from paypercall.flask import Payment

app = Flask(__name__)
payment = Payment(app)


def runs(name: str) -> int:
    """Counts the runs of a view, over all workers."""
    path = Path(os.environ["PAYPERCALL_DATA_DIR"]) / f"{name}.txt"
    with path.open("a") as file:
        file.write("run\n")
    return len(path.read_text().splitlines())


@app.get("/slow")
@payment.required(100)
def slow() -> ResponseReturnValue:
    """Takes so long that others ask meanwhile."""
    number = runs("slow")
    time.sleep(1)
    return {"run": number, "process": os.getpid()}


@app.get("/deadly")
@payment.required(100)
def deadly() -> ResponseReturnValue:
    """Takes its worker down the first time."""
    number = runs("deadly")
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"run": number}
