"""Calls the example API three times, and pays for each call."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import requests
from dotenv import dotenv_values

from paypercall import Client, PaypercallError

ENVIRONMENT = {**dotenv_values(Path(__file__).with_name(".env")), **os.environ}
URL = ENVIRONMENT.get("API_URL") or "http://127.0.0.1:8402"
TIMEOUT = 60
MAX_PRICE = 500
"""Bytes that a call may cost, whatever the server says."""


def call(client: Client, city: str, amount: int) -> str:
    """Pays `amount` for one call, books the refund if there is one, and tells what came of it."""
    package = client.create_payment_package(amount)
    response = requests.post(
        f"{URL}/temperature",
        data={"city": city, "payment_package": json.dumps(package)},
        timeout=TIMEOUT,
        allow_redirects=False,  # the payment is for this address only
    )
    answer = response.json()
    told = answer.get("error") or f"{answer['celsius']} degrees"
    if "payment_package" in answer:
        refund = client.verify_payment_package(answer["payment_package"])
        told += f", {refund.amount} returned" if refund.error is None else f", bad refund: {refund.error}"
    return f"{city}: paid {amount}, answered {response.status_code}: {told}"


def main() -> int:
    """Makes three calls: one pays the price, one pays too much, one fails and is refunded."""
    terms = requests.get(URL, timeout=TIMEOUT).json()
    peer_address, price = terms["peer_address"], terms["price"]
    if type(price) is not int or not 0 < price <= MAX_PRICE:
        print(f"a call costs {price}, and {MAX_PRICE} bytes at most are paid for one", file=sys.stderr)
        return 1
    with Client(peer_address, asset=None, deposit_amount=100_000, refill_threshold=20_000) as client:
        for city, amount in (("Zug", price), ("Zug", price + 150), ("Atlantis", price)):
            print(call(client, city, amount))
        balance = client.balance()
        spent = balance.owed_by_me - balance.owed_by_peer
        print(f"{spent} bytes spent in this channel, {balance.spendable} left")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (PaypercallError, requests.RequestException) as error:
        sys.exit(f"app.py: {error}")
