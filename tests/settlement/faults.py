"""What the tests of faulty hubs share: one settled period, and what parties did to the ledger for it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from paypercall.client import Client
from paypercall.devnet import Devnet
from paypercall.server import Server
from tests.hub_proxy import Arrival, Back, Fault, Frame, HangUp, in_response, instead_of_requests
from tests.parties import pay, wait_until, wait_until_open

HISTORY = "light/get_history"
PARENTS = "light/get_parents_and_last_ball_and_witness_list_unit"
POST = "post_joint"
AHEAD = 1_000_000
"""How much further a hub claims to be than it is."""


def deposits(net: Devnet, customer: Client) -> list[int]:
    """What each unit of the customer has given the agent beyond a bounce fee."""
    return [
        output["amount"]
        for unit in units_of(net, customer)
        for message in unit["messages"]
        if message["app"] == "payment"
        for output in message["payload"]["outputs"]
        if output["address"] == customer.aa_address and output["amount"] > 10_000
    ]


def units_of(net: Devnet, party: Client | Server) -> list[dict[str, Any]]:
    """All good units of a party's wallet."""
    return [
        joint["unit"]
        for joint in net.units()
        if joint["unit"]["authors"][0]["address"] == party.address and "messages" in joint["unit"]
    ]


def commands(net: Devnet, party: Client | Server) -> list[str]:
    """What a party has told agents, in order."""
    return [
        next(name for name in ("close", "confirm", "fraud_proof") if message["payload"].get(name))
        for unit in units_of(net, party)
        for message in unit["messages"]
        if message["app"] == "data"
    ]


def settle_a_period(net: Devnet, merchant: Server, customer: Client) -> None:
    """Pays, closes and looks at the ledger: one deposit, one close, one confirmation."""
    pay(customer, merchant)
    wait_until_open(customer, merchant)
    customer.close()
    wait_until(lambda: len(customer.settled_periods()) == 1, "the period has ended for the customer")
    wait_until(lambda: len(merchant.settled_periods()) == 1, "the period has ended for the merchant")
    assert deposits(net, customer) == [100_000]
    assert commands(net, customer) == ["close"]
    assert commands(net, merchant) == ["confirm"]
    assert not merchant.settled_periods()[0].is_fraud_proven


def inventing(joint: Any) -> Fault:
    """The hub adds a joint to every history that is not empty, and repeats the last one in place of an empty one."""
    last: dict[str, Any] = {}

    def invent(history: Any) -> Any:
        if "joints" in history:
            last["history"] = history
        if not last:
            return history
        known = last["history"]
        return {**known, "joints": [*known["joints"], joint]}

    return in_response(HISTORY, invent)


def corrupt_outputs(history: Any) -> Any:
    """Pays a byte more than the hash of the unit says."""
    history = deepcopy(history)
    for joint in history.get("joints", []):
        for message in joint["unit"].get("messages", []):
            for output in message.get("payload", {}).get("outputs", []):
                output["amount"] += 1
    return history


def far_ahead(history: Any) -> Any:
    """The same with each index beyond all there is: no proof covers them."""
    history = deepcopy(history)
    for joint in (*history.get("joints", []), *history.get("unstable_mc_joints", [])):
        if joint["unit"].get("main_chain_index") is not None:
            joint["unit"]["main_chain_index"] += AHEAD
    return history


def claim_too_long_a_chain(frame: Frame) -> Sequence[Arrival] | None:
    """A hub that claims a longer main chain than there is, wherever it tells an index."""
    arrivals = in_response(HISTORY, far_ahead)(frame)
    return in_response(PARENTS, _parents_far_ahead)(frame) if arrivals is None else arrivals


def _parents_far_ahead(parents: Any) -> Any:
    return {**parents, "last_stable_mc_ball_mci": parents["last_stable_mc_ball_mci"] + AHEAD}


USELESS: dict[str, Fault] = {
    "is silent": lambda frame: [],
    "hangs up": lambda frame: [HangUp()],
    "proves nothing": in_response(HISTORY, corrupt_outputs),
    "refuses to serve": in_response(HISTORY, lambda history: {"error": "we are catching up"}),
    "gives no parents": in_response(PARENTS, lambda parents: {"timestamp": 0}),
    "takes no units": instead_of_requests(POST, lambda frame: [Back(frame.answer({"error": "no"}))]),
}
"""What a hub may do that makes it of no use, each by what it is called after "a hub that"."""
