"""A channel between two parties on a local network, and a stranger to it."""

from __future__ import annotations

from typing import Any

from paypercall.contract import ChannelParameters
from paypercall.devnet import Devnet
from paypercall.obyte.composer import Draft, Output
from tests.devnet.local_node import make_key

PAYER, PAYEE, STRANGER = make_key(1), make_key(2), make_key(3)
UNKNOWN_UNIT = "oj8yEksX9Ubq7lLc+p6F2uyHUuynugeVq4+ikT67X6E="


def pay(to: str, amount: int = 1000, data: Any = None) -> Draft:
    messages = () if data is None else ({"app": "data", "payload": data},)
    return Draft(outputs={"base": (Output(to, amount),)}, messages=messages)


def channel() -> ChannelParameters:
    return ChannelParameters(PAYEE.address, PAYER.address, "base", "some salt", 600)


def opening(deposit: int = 100_000) -> Draft:
    payload = {"address": channel().aa_address, "definition": channel().definition}
    return Draft(
        outputs={"base": (Output(channel().aa_address, deposit),)},
        messages=({"app": "definition", "payload": payload},),
    )


def requests_of(net: Devnet) -> dict[str, Any]:
    """A request of every recorded command, on a network where each has something to answer."""
    witnesses = list(net.network.order_providers)
    agent = channel().aa_address
    genesis = net.network.genesis_unit
    return {
        "get_joint": genesis,
        "get_last_mci": None,
        "get_system_vars": None,
        "get_witnesses": None,
        "heartbeat": None,
        "light/get_aa_balances": {"address": agent},
        "light/get_aa_responses": {"aa": agent},
        "light/get_aa_state_vars": {"address": agent},
        "light/get_aas_by_base_aas": {"base_aa": channel().definition[1]["base_aa"]},
        "light/get_balances": [PAYER.address],
        "light/get_definition": agent,
        "light/get_definition_for_address": {"address": PAYER.address},
        "light/get_history": {"witnesses": witnesses, "addresses": [PAYER.address, agent]},
        "light/get_parents_and_last_ball_and_witness_list_unit": {
            "witnesses": witnesses,
            "from_addresses": [PAYER.address],
            "output_addresses": [agent],
            "max_aa_responses": 10,
        },
        "light/pick_divisible_coins_for_amount": {
            "addresses": [PAYER.address],
            "last_ball_mci": 5,
            "amount": 1000,
            "spend_unconfirmed": "own",
        },
    }
