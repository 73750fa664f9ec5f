"""A small paid API: the temperature, for 100 bytes a call.

A request carries `payment_package` among its parameters; a response carries one when it refunds something.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from threading import Lock

from dotenv import dotenv_values
from flask import Flask, Response, jsonify, request

from paypercall import Payment, Server

PRICE = 100
KEPT = 10_000
"""Answers that are kept for retries. A payment whose answer is gone buys nothing more, or one would buy everything."""

ENVIRONMENT = {**dotenv_values(Path(__file__).with_name(".env")), **os.environ}

Answer = tuple[dict[str, object], int]

app = Flask(__name__)
server = Server(max_sweeping_period=7 * 24 * 3600)
server.start_node()
answers: dict[int | None, Answer | None] = {}  # by payment_id; several workers would need a shared one

keeping = Lock()


@app.get("/")
def terms() -> Response:
    """What a customer must know before it can pay."""
    return jsonify(price=PRICE, asset="base", peer_address=server.address)


@app.post("/temperature")
def temperature() -> tuple[Response, int]:
    """Verifies the payment and answers; a retry gets the answer of the first time."""
    payment = server.verify_payment_package(request.form.get("payment_package", ""), asset="base")
    if payment.first is not None and payment.first.payment_id in answers and not payment.is_published:
        payment = payment.first
    elif payment.error is not None:
        return jsonify(error=payment.error, code=payment.code), 402
    else:
        keep(payment, None)  # until there is one: should it fail, a retry has another go
    answer = answers.get(payment.payment_id) or serve(payment, request.form.get("city", ""))
    keep(payment, answer)
    return jsonify(answer[0]), answer[1]


def serve(payment: Payment, city: str) -> Answer:
    """Answers a call that was paid, and refunds what was not used."""
    if payment.amount < PRICE:
        refund = pay_back(payment, payment.amount)
        return {"error": f"the price is {PRICE}", "payment_package": refund}, 402
    if city != "Zug":
        refund = pay_back(payment, payment.amount)
        return {"error": "there is a thermometer in Zug only", "payment_package": refund}, 404
    served: dict[str, object] = {"celsius": 21, "paid": payment.amount}
    if payment.amount > PRICE:
        served["payment_package"] = pay_back(payment, payment.amount - PRICE)
    return served, 200


def keep(payment: Payment, answer: Answer | None) -> None:
    """Keeps the answer to a payment in place of the oldest one."""
    with keeping:
        answers[payment.payment_id] = answer
        if len(answers) > KEPT:
            del answers[next(iter(answers))]


def pay_back(payment: Payment, amount: int) -> str:
    """Returns a refund as JSON. The key makes sure that one payment is refunded once, however often this is called."""
    assert payment.aa_address is not None
    refund = server.create_payment_package(amount, payment.aa_address, f"refund {payment.payment_id}")
    return json.dumps(refund)


if __name__ == "__main__":
    try:
        app.run(host="127.0.0.1", port=int(ENVIRONMENT.get("PORT") or 8402))
    finally:
        server.close_node()
