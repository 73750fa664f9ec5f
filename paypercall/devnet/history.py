"""The answer to `light/get_history`: units of some addresses, and the proof of which of them are stable.

The proof has ocore's form: the unstable end of the main chain, signed by the witnesses; their
definition; and a chain of balls from the newest last ball down to every unit. It only reads the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

from paypercall.devnet.agents import Answer
from paypercall.devnet.form import is_natural
from paypercall.devnet.graph import Outlook, Sequence, Vertex
from paypercall.devnet.ledger import Ledger
from paypercall.obyte.address import HASH_LENGTH, is_valid_address, is_valid_base64

MAX_ITEMS = 2000
TOO_LARGE = "your history is too large, consider switching to a full client"

_NODE_ERRORS = ("received bytes are not enough", "max_aa_responses", "not enough funds", "byte balance")


class BadRequest(Exception):
    """A request that the hub answers with an error; its text is the answer."""


def prepare_history(ledger: Ledger, request: Any) -> dict[str, Any]:
    """Answers a request for history.

    Args:
        ledger: What there is.
        request: `witnesses`, and `addresses` or `requested_joints`; perhaps `known_stable_units`, `min_mci`.

    Returns:
        An empty dict when there is nothing (new) to tell.

    Raises:
        BadRequest: With ocore's text.
    """
    addresses, units, known_units, lowest_index = _read_request(ledger, request)
    outlook = ledger.graph.outlook()
    vertices = _select(ledger, addresses, units, lowest_index, outlook)
    vertices = [vertex for vertex in vertices if vertex.hash not in known_units]
    vertices.sort(key=lambda vertex: _newest_first(vertex, outlook))
    if not vertices:
        return {}
    if len(vertices) > MAX_ITEMS:
        raise BadRequest(TOO_LARGE)
    chain = ledger.graph.main_chain[ledger.lowest_retrievable_index + 1 :]
    if request["witnesses"] != list(ledger.witnesses) or not chain:
        raise BadRequest("your witness list might be too much off, too few witness authored units")
    last_ball_index = ledger.graph.newest_proven_index(reversed(chain))
    response: dict[str, Any] = {
        "unstable_mc_joints": [
            joint_of(vertex, outlook, with_ball=False) for vertex in reversed([*chain, *outlook.chain])
        ],
        "witness_change_and_definition_joints": [
            joint_of(vertex, outlook) for vertex in ledger.witness_definitions()
        ],
        "joints": [joint_of(vertex, outlook) for vertex in vertices],
    }
    balls = _proof_chain(ledger, vertices, last_ball_index)
    if balls:
        response["proofchain_balls"] = balls
    answers = _answers_to(ledger, vertices)
    if answers:
        response["aa_responses"] = [_history_row(answer) for answer in answers]
    return response


def joint_of(vertex: Vertex, outlook: Outlook, *, with_ball: bool = True) -> dict[str, Any]:
    """A unit as the hub hands it out, with what the hub says of it."""
    joint: dict[str, Any] = {
        "unit": {
            **vertex.unit,
            "main_chain_index": outlook.index_of(vertex),
            "actual_tps_fee": vertex.actual_tps_fee,
        }
    }
    if with_ball and vertex.ball is not None:
        joint["ball"] = vertex.ball
    if vertex.skiplist:
        joint["skiplist_units"] = sorted(skipped.hash for skipped in vertex.skiplist)
    return joint


def creation_date(seconds: int) -> str:
    """A time as the hub's database prints it."""
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def response_of(answer: Answer) -> dict[str, Any]:
    """What an answer says beside its unit: errors of the agent's code are objects, the node's are texts."""
    if answer.error is None:
        return {}
    if answer.error.startswith(_NODE_ERRORS):
        return {"error": answer.error}
    return {"error": {"message": answer.error}}


def outline_of(answer: Answer) -> dict[str, Any]:
    """The fields with which every row about an answer begins."""
    return {
        "mci": answer.index,
        "trigger_address": answer.trigger.authors[0],
        "aa_address": answer.agent,
        "trigger_unit": answer.trigger.hash,
        "bounced": int(answer.error is not None),
    }


def _history_row(answer: Answer) -> dict[str, Any]:
    row = outline_of(answer)
    if answer.response is not None:
        row["response_unit"] = answer.response.hash
    row["response"] = json.dumps(response_of(answer), separators=(",", ":"))
    row["timestamp"] = answer.timestamp
    row["creation_date"] = creation_date(answer.created)
    return row


def _read_request(ledger: Ledger, request: Any) -> tuple[list[str], list[str], set[str], int]:
    if not isinstance(request, dict) or not request:
        raise BadRequest("no history request")
    addresses, units, known_units = (
        _given(request.get(name)) for name in ("addresses", "requested_joints", "known_stable_units")
    )
    if addresses is None and units is None:
        raise BadRequest("neither addresses nor joints requested")
    if addresses is not None:
        _check_list(addresses, "no addresses", "too many addresses")
        if not all(is_valid_address(address) for address in addresses):
            raise BadRequest("some addresses are not valid")
    if units is not None:
        _check_list(units, "no requested joints", "too many requested joints")
        _check_hashes(units, "invalid requested joints")
    witnesses, lowest_index = request.get("witnesses"), request.get("min_mci") or 0
    if not isinstance(witnesses, list) or len(witnesses) != len(ledger.network.order_providers):
        raise BadRequest("wrong number of witnesses")
    if not is_natural(lowest_index):
        raise BadRequest("min_mci should be non negative integer")
    if known_units is not None:
        _check_list(known_units, "known_stable_units must be non-empty array", "too many known stable units")
        _check_hashes(known_units, "invalid known stable units")
    return addresses or [], units or [], set(known_units or ()), lowest_index


def _given(value: Any) -> Any:
    """What JavaScript takes for false counts as not given; an empty array does not."""
    return None if value in (None, False, 0, "") else value


def _check_list(values: Any, when_empty: str, when_too_long: str) -> None:
    if not isinstance(values, list) or not values:
        raise BadRequest(when_empty)
    if len(values) > MAX_ITEMS:
        raise BadRequest(when_too_long)


def _check_hashes(values: list[Any], message: str) -> None:
    if not all(is_valid_base64(value, HASH_LENGTH) for value in values):
        raise BadRequest(message)


def _select(
    ledger: Ledger, addresses: list[str], units: list[str], lowest_index: int, outlook: Outlook
) -> list[Vertex]:
    selected: dict[str, Vertex] = {}
    for address in addresses:
        for vertex in ledger.units_of(address):
            index = outlook.index_of(vertex)
            is_recent = index is None or index >= lowest_index
            # the outputs of a final-bad unit are gone, its authors are not
            concerns = vertex.sequence is Sequence.GOOD or (vertex.is_stable and address in vertex.authors)
            if is_recent and concerns:
                selected[vertex.hash] = vertex
    for unit in units:
        requested = ledger.graph.vertices.get(unit)
        if requested is not None and (requested.sequence is Sequence.GOOD or requested.is_stable):
            selected[unit] = requested
    return list(selected.values())


def _newest_first(vertex: Vertex, outlook: Outlook) -> tuple[int, int]:
    index = outlook.index_of(vertex)
    # a unit without an index comes last, as in the hub's database
    return -(-1 if index is None else index), -vertex.level


def _proof_chain(ledger: Ledger, vertices: Iterable[Vertex], last_ball_index: int) -> list[dict[str, Any]]:
    """Balls from the last ball down to each unit, along the main chain first (ocore `proof_chain`)."""
    balls: list[dict[str, Any]] = []
    later_index = last_ball_index + 1
    for vertex in vertices:
        index = vertex.main_chain_index
        if index is None or index > last_ball_index:
            continue
        balls += (_ball_of(passed) for passed in _way_down(ledger.graph.main_chain, later_index, index))
        balls += (_ball_of(passed) for passed in _last_mile(ledger, ledger.graph.main_chain[index], vertex))
        later_index = index
    return balls


def _way_down(main_chain: list[Vertex], later_index: int, index: int) -> list[Vertex]:
    way: list[Vertex] = []
    position = later_index - 1
    while later_index > index:
        vertex = main_chain[position]
        way.append(vertex)
        if position == index:
            break
        skips = [skipped.main_chain_index or 0 for skipped in vertex.skiplist]
        position = min([position - 1, *(skip for skip in skips if skip >= index)])
    return way


def _last_mile(ledger: Ledger, start: Vertex, vertex: Vertex) -> list[Vertex]:
    way: list[Vertex] = []
    passed = start
    while passed is not vertex:
        parents = [parent for parent in passed.parents if parent.main_chain_index == start.main_chain_index]
        passed = next(parent for parent in parents if ledger.graph.includes_within_index(parent, vertex))
        way.append(passed)
    return way


def _ball_of(vertex: Vertex) -> dict[str, Any]:
    ball: dict[str, Any] = {"unit": vertex.hash, "ball": vertex.ball}
    if vertex.sequence is Sequence.FINAL_BAD:
        ball["is_nonserial"] = True
    if vertex.parent_balls:
        ball["parent_balls"] = list(vertex.parent_balls)
    if vertex.skiplist:
        ball["skiplist_balls"] = sorted(skipped.ball or "" for skipped in vertex.skiplist)
    return ball


def _answers_to(ledger: Ledger, vertices: list[Vertex]) -> list[Answer]:
    answers = [a for vertex in vertices for a in ledger.agents.answers_by_trigger.get(vertex.hash, ())]
    return sorted(answers, key=lambda answer: answer.number)
