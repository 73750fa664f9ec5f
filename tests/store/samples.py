"""Channels, packages and units as the store takes them; only their form matters, nothing is signed."""

from __future__ import annotations

from typing import Any

from paypercall.backing import UnconfirmedUnit
from paypercall.channel import Channel, Status
from paypercall.contract import ChannelParameters, TriggerKind
from paypercall.package import PaymentPackage

PAYEE = "35LSMJGTZKSY7BFN3I7HW6NH3WBZMY4P"
CUSTOMER = "7FB3B3PB7RR4YYXHPD67KDUSVRGUWAPE"
ASSET = "GFHo5K5ynbz3pgey/ZRrM1HRbJZdGUZTdpazeQPjkEE="


def parameters(salt: str = "salt", asset: str = "base") -> ChannelParameters:
    """Makes a channel's parameters; another salt gives another channel."""
    return ChannelParameters(PAYEE, CUSTOMER, asset, salt, 7_200)


def channel(salt: str = "salt", asset: str = "base", **changes: Any) -> Channel:
    """Makes an open channel as the payee has it."""
    return Channel(parameters(salt, asset), PAYEE, **{"status": Status.OPEN, **changes})


def paid(salt: str, amount: int, asset: str = "base", **changes: Any) -> Channel:
    """Makes an open channel as the payee has it that accepted all of what the customer signed."""
    return channel(salt, asset, signed_by_peer=amount, accepted_from_peer=amount, **changes)


def package(
    of: Channel, amount_spent: int, amount: int = 1, text: str = '{"secret": "package"}'
) -> PaymentPackage:
    """Makes a package of the customer."""
    return PaymentPackage(
        of.aa_address, of.period, amount, amount_spent, CUSTOMER, None, text, f"{amount_spent:064x}"
    )


def unit_hash(number: int) -> str:
    """Makes the hash of a unit."""
    return f"{number:043d}="


def unconfirmed(number: int, kind: TriggerKind = TriggerKind.DEPOSIT, **changes: Any) -> UnconfirmedUnit:
    """Makes a unit to an agent."""
    values: dict[str, Any] = {"amount": 50_000, "has_data": False, "has_definition": True, "first_seen": 100}
    return UnconfirmedUnit(unit=unit_hash(number), sender=CUSTOMER, kind=kind, **{**values, **changes})
