"""The payments that were accepted, each once, and the packages that were sent, by idempotency key.

The rows prove what happened; none is ever changed or deleted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, func, select

from paypercall.package import PaymentPackage
from paypercall.store.schema import payments, sent_packages
from paypercall.store.statements import Connection, Statement, adding, adding_unless_there


@dataclass(frozen=True, slots=True)
class AcceptedPayment:
    """A payment of a peer that was accepted.

    Attributes:
        id: Its number in the books.
        aa_address: The channel.
        period: The channel's period.
        amount_spent: The total that the package states.
        amount: What it paid, in bytes or units of the asset.
        asset: The channel's asset.
        digest: Of what was signed, see `PaymentPackage.digest`.
        accepted_at: Seconds.
    """

    id: int
    aa_address: str
    period: int
    amount_spent: int
    amount: int
    asset: str
    digest: str
    accepted_at: int


@dataclass(frozen=True, slots=True)
class SentPackage:
    """A package that I made for an idempotency key, to be handed out again.

    Attributes:
        period: The channel's period.
        amount: What it pays.
        amount_spent: The total that it states.
        package: As it was handed out: bearer money, not to be logged.
    """

    period: int
    amount: int
    amount_spent: int
    package: dict[str, Any] = field(repr=False)


class Payments:
    """The payments, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, package: PaymentPackage, asset: str, now: int) -> int | None:
        """Books an accepted payment.

        Returns:
            Its number, or None if there is one with the same channel, period and amount_spent.
        """
        row = {
            "aa_address": package.aa_address,
            "period": package.period,
            "amount_spent": package.amount_spent,
            "amount": package.payment_amount,
            "asset": asset,
            "digest": package.digest,
            "accepted_at": now,
        }
        return self._connection.add(_ADD, row)

    def find(self, aa_address: str, period: int, amount_spent: int) -> AcceptedPayment | None:
        """The accepted payment with this amount_spent, if there is one."""
        key = {"aa_address": aa_address, "period": period, "amount_spent": amount_spent}
        row = self._connection.first(_FIND, key)
        return None if row is None else AcceptedPayment(*row)

    def total_accepted(self, aa_address: str) -> int:
        """The sum of all accepted payments of a channel over all its periods."""
        return int(self._connection.value(_TOTAL, {"aa_address": aa_address}))

    def sent(self, aa_address: str, idempotency_key: str) -> SentPackage | None:
        """The package that was made for a key, if there is one."""
        row = self._connection.first(_SENT, {"aa_address": aa_address, "key": idempotency_key})
        if row is None:
            return None
        period, amount, amount_spent, package = row
        return SentPackage(period, amount, amount_spent, json.loads(package))

    def add_sent(
        self,
        aa_address: str,
        idempotency_key: str,
        *,
        period: int,
        amount: int,
        amount_spent: int,
        package: dict[str, Any],
        now: int,
    ) -> None:
        """Keeps a package under its key.

        Raises:
            StoreError: When the key is taken in this channel.
        """
        row = {
            "aa_address": aa_address,
            "idempotency_key": idempotency_key,
            "period": period,
            "amount": amount,
            "amount_spent": amount_spent,
            "package": json.dumps(package),
            "made_at": now,
        }
        self._connection.change(_ADD_SENT, row)


_OF_CHANNEL = payments.c.aa_address == bindparam("aa_address")
_ADD = adding_unless_there(payments)
_FIND = Statement(
    select(
        payments.c.id,
        payments.c.aa_address,
        payments.c.period,
        payments.c.amount_spent,
        payments.c.amount,
        payments.c.asset,
        payments.c.digest,
        payments.c.accepted_at,
    ).where(
        _OF_CHANNEL,
        payments.c.period == bindparam("period"),
        payments.c.amount_spent == bindparam("amount_spent"),
    )
)
_TOTAL = Statement(select(func.coalesce(func.sum(payments.c.amount), 0)).where(_OF_CHANNEL))
_SENT = Statement(
    select(
        sent_packages.c.period,
        sent_packages.c.amount,
        sent_packages.c.amount_spent,
        sent_packages.c.package,
    ).where(
        sent_packages.c.aa_address == bindparam("aa_address"),
        sent_packages.c.idempotency_key == bindparam("key"),
    )
)
_ADD_SENT = adding(sent_packages)
