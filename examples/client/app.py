"""Calls the example API a few times, and pays for each call."""

from __future__ import annotations

import json
import os
import sys

import requests

from paypercall import Client

URL = os.environ.get("API_URL", "http://127.0.0.1:8402")
TIMEOUT = 60


def call(client: Client, city: str, amount: int) -> requests.Response:
    """Pays `amount` for one call, and books the refund if there is one."""
    package = client.create_payment_package(amount)
    response = requests.post(
        f"{URL}/temperature", data={"city": city, "payment_package": json.dumps(package)}, timeout=TIMEOUT
    )
    refund = response.json().get("payment_package")
    if refund is not None:
        payment = client.verify_payment_package(refund)
        print(f"  refunded: {payment.amount} {payment.error or ''}".rstrip())
    return response


def main() -> int:
    """Makes three calls, of which one is overpaid and one fails."""
    terms = requests.get(URL, timeout=TIMEOUT).json()
    with Client(terms["peer_address"], asset=None, deposit_amount=100_000, refill_threshold=20_000) as client:
        for city, amount in (("Zug", terms["price"]), ("Zug", 250), ("Atlantis", terms["price"])):
            response = call(client, city, amount)
            print(f"{city}: {response.status_code} {response.json().get('celsius', '')}".rstrip())
        balance = client.balance()
        spent = balance.owed_by_me - balance.owed_by_peer
        print(f"spent {spent} bytes, {balance.spendable} are left in the channel")
    return 0


if __name__ == "__main__":
    sys.exit(main())
