"""What it costs to settle a channel, which both the settings and the money rules have to know. Pure.

In bytes, TPS fees apart, for agent 1.1: every command carries its bounce fee of 10,000 bytes.
"""

SWEEPING_COST = 12_500
"""What closing costs a payee whose customer is gone: it sends two commands, and the agent pays the bounce fee of one
of them out to the customer."""

DEFENCE_COST = 25_000
"""What a wallet must have to settle one channel: two commands, each with its bounce fee and up to 2,500 of fees."""
