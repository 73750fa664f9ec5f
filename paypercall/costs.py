"""What it costs to settle a channel, which both the settings and the money rules have to know. Pure.

In bytes, TPS fees apart, for agent 1.1: every command carries its bounce fee of 10,000 bytes.
"""

SWEEPING_COST = 12_500
"""What closing costs a payee whose customer is gone: it sends two commands, and the agent pays the bounce fee of one
of them out to the customer."""

EARLY_SWEEP_FACTOR = 10
"""How many times the cost of a sweep must be owed before a customer can have its channel swept at once.

The customer chooses the time then, and the merchant bears the cost, which it does not when the customer closes on the
ledger. So it is a tenth of what was earned at most; if the mere cost were enough, a customer that has its channel swept
each time it owes a little more than that would be served for nothing.
"""

LOWEST_LIMIT_FACTOR = 2 * EARLY_SWEEP_FACTOR
"""How many times the cost of a sweep a limit on what is unsettled must be.

A customer that pays half of the limit or less at a time owes more than the other half when one more does not fit. So
that is always enough to be swept at once.
"""

DEFENCE_COST = 25_000
"""What a wallet must have to settle one channel: two commands, each with its bounce fee and up to 2,500 of fees."""
