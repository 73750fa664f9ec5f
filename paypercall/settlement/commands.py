"""From a decision to the unit's content: what is written into an outbox row, and the draft that is made of it.

Pure. A row holds all that its unit needs, so that the same command is sent whatever has changed since the decision.
"""

from __future__ import annotations

from typing import Any

from paypercall.channel import Decision
from paypercall.contract import (
    ChannelParameters,
    close_draft,
    confirm_draft,
    deposit_draft,
    fraud_proof_draft,
)
from paypercall.decisions import Command
from paypercall.obyte.composer import Draft, Output
from paypercall.store import OutboxKind, OutboxRow
from paypercall.unit_payment import commitment_message

KIND_OF_DECISION = {
    Decision.CLOSE: OutboxKind.CLOSE,
    Decision.CONFIRM: OutboxKind.CONFIRM,
    Decision.FRAUD_PROOF: OutboxKind.FRAUD_PROOF,
}

COMMANDS = frozenset(KIND_OF_DECISION.values())
"""Rows that settle a channel: they go before all others, and may spend the byte reserve."""

DEPOSITS = frozenset({OutboxKind.OPEN, OutboxKind.REFILL})
"""Rows that put money into a channel."""


def details_of_command(command: Command) -> dict[str, Any]:
    """The details of the row that sends a command to the agent."""
    # The old name: a row of an earlier version may still wait in the books.
    return {"owed_by_me": command.transferred_from_me, "sent_by_peer": command.sent_by_peer}


def details_of_unit_payment(payee: str, amount: int, asset: str, secret: str) -> dict[str, Any]:
    """The details of the row of a unit that its payee is to post; see `unit_payment`."""
    return {"address": payee, "amount": amount, "asset": asset, "secret": secret, "is_taken_back": False}


def draft_of(row: OutboxRow, parameters: ChannelParameters | None) -> Draft:
    """The content of the unit that carries out a row.

    Args:
        row: Any row.
        parameters: The parameters of the row's channel; None only for what has no channel.
    """
    if row.kind in (OutboxKind.WITHDRAWAL, OutboxKind.UNIT_PAYMENT):
        return _payment_draft(row)
    assert parameters is not None
    if row.kind in DEPOSITS:
        return deposit_draft(parameters, row.details["amount"], with_definition=row.kind is OutboxKind.OPEN)
    assert row.period is not None
    if row.kind is OutboxKind.CLOSE:
        return close_draft(
            parameters,
            period=row.period,
            transferred_from_me=row.details["owed_by_me"],
            sent_by_peer=row.details["sent_by_peer"],
        )
    if row.kind is OutboxKind.CONFIRM:
        return confirm_draft(
            parameters, period=row.period, additional_transferred_from_me=row.details["owed_by_me"]
        )
    return fraud_proof_draft(parameters, period=row.period, sent_by_peer=row.details["sent_by_peer"])


def _payment_draft(row: OutboxRow) -> Draft:
    details = row.details
    if details.get("is_taken_back"):
        # It spends what the unit to be taken back does, and gives it to ourselves.
        return Draft()
    outputs = {details["asset"]: (Output(details["address"], details["amount"]),)}
    if row.kind is OutboxKind.WITHDRAWAL:
        return Draft(outputs)
    return Draft(outputs, (commitment_message(details["secret"], details["address"]),))
