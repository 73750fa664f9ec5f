"""Watches the ledger and settles channels in a process of its own, so that the web processes need not."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from paypercall.django import payment


class Command(BaseCommand):
    """Runs until it is told to stop, by SIGINT or SIGTERM."""

    help = "Watches the ledger, and settles the payment channels of this project."

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs the node."""
        stopping = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopping.set())
        server = payment.project.server.server
        server.start_node()
        self.stdout.write(f"watching the channels of {server.address}")
        self.stdout.flush()
        stopping.wait()
        payment.close()
