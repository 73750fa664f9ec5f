"""How fast paypercall is, as ratios measured in one run: `python -m benchmarks`, or `make bench`.

Machines differ and are shared, so times are compared with a floor that is measured beside them, never with a clock's
face. What each number means is said where it is measured.
"""
