"""Lets `python -m paypercall` do what the command `paypercall` does."""

from __future__ import annotations

import sys

from paypercall.cli import main

if __name__ == "__main__":
    sys.exit(main())
