"""The on-ledger side: watching the channels' agents, defending and refilling channels, sending what was decided.

Money rules live in `paypercall.channel`; in here they are applied in transactions and carried to the ledger.
"""
