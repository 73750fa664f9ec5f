"""A small paid API: the temperature, for 100 bytes a call.

A request carries `payment_package` among its parameters; a response carries one when it refunds something.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from dotenv import dotenv_values
from flask import Flask, Response, jsonify, request

from paypercall import Payment, Server

PRICE = 100
ENVIRONMENT = {**dotenv_values(Path(__file__).with_name(".env")), **os.environ}

app = Flask(__name__)
server = Server(max_sweeping_period=7 * 24 * 3600)
server.start_node()


@app.get("/")
def terms() -> Response:
    """What a customer must know before it can pay."""
    return jsonify(price=PRICE, asset="base", peer_address=server.address)


@app.post("/temperature")
def temperature() -> tuple[Response, int]:
    """Verifies the payment, serves, and refunds what was not used."""
    payment = server.verify_payment_package(request.form.get("payment_package", ""), asset="base")
    if payment.error is not None:
        return jsonify(error=payment.error, code=payment.code), 402
    if payment.amount < PRICE:
        refund = pay_back(payment, payment.amount)
        return jsonify(error=f"the price is {PRICE}", payment_package=refund), 402
    if request.form.get("city", "") != "Zug":
        refund = pay_back(payment, payment.amount)
        return jsonify(error="there is a thermometer in Zug only", payment_package=refund), 404
    answer: dict[str, object] = {"celsius": 21, "paid": payment.amount}
    if payment.amount > PRICE:
        answer["payment_package"] = pay_back(payment, payment.amount - PRICE)
    return jsonify(answer), 200


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
