"""A small third party that keeps accounts, for `BitTransfer`: an example, with play money."""

from __future__ import annotations

import os
from pathlib import Path

from accounts import AccountError, Accounts
from dotenv import dotenv_values
from flask import Flask, Response, jsonify, request

from paypercall.errors import Refusal

HERE = Path(__file__).parent
ENVIRONMENT = {**dotenv_values(HERE / ".env"), **os.environ}

LONGEST_KEY = 100

Answer = tuple[Response, int]

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 16 * 1024
accounts = Accounts(
    Path(ENVIRONMENT.get("ACCOUNTS_DATABASE") or HERE / "accounts.sqlite"),
    int(ENVIRONMENT.get("STARTING_BALANCE") or 10_000),
)


def fields(*names: str) -> list[object]:
    """The fields of the request's JSON object; None where one is missing."""
    content = request.get_json(silent=True)
    return [content.get(name) if isinstance(content, dict) else None for name in names]


@app.post("/accounts")
def open_account() -> Answer:
    """Opens an account for a public key."""
    username, public_key = fields("username", "public_key")
    accounts.open(username, public_key)
    return jsonify(username=username), 201


@app.get("/accounts/<username>")
def show_account(username: str) -> Answer:
    """Tells anybody what an account has; it is play money."""
    return jsonify(username=username, balance=accounts.balance(username)), 200


@app.post("/accounts/<username>/transfers")
def redeem_transfer(username: str) -> Answer:
    """Redeems a transfer for its payee; repeated with the same key, it answers the same and moves nothing."""
    redemption = request.headers.get("Idempotency-Key", "")
    if not 0 < len(redemption) <= LONGEST_KEY:
        raise AccountError(
            400, "wrong_idempotency_key", f"send an Idempotency-Key of 1 to {LONGEST_KEY} characters"
        )
    text, signature = (str(value or "") for value in fields("bittransfer", "signature"))
    signed = accounts.redeem(username, text, signature, redemption)
    return jsonify(redeemed=signed.id, amount=signed.transfer.amount), 200


@app.errorhandler(AccountError)
def refuse(error: AccountError) -> Answer:
    """Says why nothing was done."""
    named = {} if error.refused is None else {"refused": error.refused}
    return jsonify(error=str(error), code=error.code, **named), error.status


@app.errorhandler(Refusal)
def refuse_transfer(error: Refusal) -> Answer:
    """Says what is wrong with a transfer."""
    return jsonify(error=str(error), code=error.code), 400


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(ENVIRONMENT.get("PORT") or 8403))
