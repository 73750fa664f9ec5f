"""What amounts on the ledger are in, and how large they get. Constants only."""

from __future__ import annotations

BASE = "base"
"""The asset name of bytes, Obyte's native currency."""

MAX_CAP = 9_000_000_000_000_000
"""No asset, bytes included, has more units; ocore's name. The channel agent counts to less: see `trigger_data`."""
