"""A small ledger with one settled channel, and the books of its two sides, as plain data that a test can alter."""

from __future__ import annotations

from typing import Any

from paypercall.demo.accounts import Account, Ledger, SideOfBooks, account_for
from paypercall.store import PeriodRecord

MERCHANT, CUSTOMER, AGENT, FAUCET = "merchant", "customer", "agent", "faucet"
FEES = {"headers_commission": 400, "payload_commission": 200}
EARNED = 30_000


def unit(
    name: str, author: str, inputs: list[tuple[str, int]], outputs: list[tuple[str, int]], **fees: int
) -> dict[str, Any]:
    """A unit with one payment; an input is named by its unit and the place of the output in it."""
    payload = {
        "inputs": [{"unit": source, "message_index": 0, "output_index": place} for source, place in inputs],
        "outputs": [{"address": address, "amount": amount} for address, amount in outputs],
    }
    message = {"app": "payment", "payload": payload}
    return {"unit": name, "authors": [{"address": author}], "messages": [message], **FEES, **fees}


def settled_channel() -> dict[str, Any]:
    """A deposit of 100,000, of which 31,000 were paid and 1,000 refunded; the merchant closed."""
    period = {"aa_address": AGENT, "period": 1, "is_fraud_proven": False, "unit": "payout"}
    return {
        "units": [
            unit("funding", FAUCET, [], [(MERCHANT, 50_000), (CUSTOMER, 200_000)]),
            unit("deposit", CUSTOMER, [("funding", 1)], [(AGENT, 100_000), (CUSTOMER, 99_390)], tps_fee=10),
            unit("opened", AGENT, [("deposit", 0)], [(AGENT, 99_400)]),
            unit("close", MERCHANT, [("funding", 0)], [(AGENT, 10_000), (MERCHANT, 39_400)]),
            unit("closing", AGENT, [("close", 0)], [(AGENT, 9_400)]),
            unit("confirm", CUSTOMER, [("deposit", 1)], [(AGENT, 10_000), (CUSTOMER, 88_790)]),
            unit(
                "payout",
                AGENT,
                [("opened", 0), ("closing", 0), ("confirm", 0)],
                [(MERCHANT, 40_000), (CUSTOMER, 78_150), (AGENT, 50)],
            ),
        ],
        "balances": {MERCHANT: 79_400, CUSTOMER: 166_940, AGENT: 50},
        MERCHANT: {
            "period": {
                **period,
                "deposited_by_me": 0,
                "deposited_by_peer": 100_000,
                "signed_by_me": 1_000,
                "signed_by_peer": 31_000,
                "accepted_from_peer": 31_000,
            },
            "received": 31_000,
            "sent": {"close": "row 1"},
        },
        CUSTOMER: {
            "period": {
                **period,
                "deposited_by_me": 100_000,
                "deposited_by_peer": 0,
                "signed_by_me": 31_000,
                "signed_by_peer": 1_000,
                "accepted_from_peer": 1_000,
            },
            "received": 1_000,
            "sent": {"deposit": "row 1", "confirm": "row 2"},
        },
        "earned": EARNED,
    }


def account_of(world: dict[str, Any]) -> Account:
    """Takes the account of such data."""
    sides = {name: _side(name, world[name]) for name in (MERCHANT, CUSTOMER)}
    return account_for(
        Ledger(world["units"], world["balances"]),
        sides[MERCHANT],
        {AGENT: sides[CUSTOMER]},
        earned=world["earned"],
    )


def _side(address: str, side: dict[str, Any]) -> SideOfBooks:
    periods = [PeriodRecord(**side["period"], ended_at=0)] if side["period"] else []
    return SideOfBooks(address, periods, {AGENT: side["received"]}, side["sent"])
