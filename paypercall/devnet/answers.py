"""What the hub answers to requests about the ledger, in the shapes and with the errors of ocore."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paypercall.devnet.agents import Agent, Answer
from paypercall.devnet.attachment import attach
from paypercall.devnet.fees import MAX_AGENT_RESPONSES, system_vars
from paypercall.devnet.form import is_natural, is_positive
from paypercall.devnet.graph import Outlook
from paypercall.devnet.history import BadRequest, creation_date, joint_of, outline_of, response_of
from paypercall.devnet.node import Node
from paypercall.obyte.address import HASH_LENGTH, is_valid_address, is_valid_base64
from paypercall.obyte.amounts import BASE, MAX_CAP

MAX_ADDRESSES_FOR_BALANCES = 100
MAX_AGENTS = 20
MAX_ANSWERS = 100
MAX_OUTPUT_ADDRESSES = 200
MAX_UNIT_AUTHORS = 16
MAX_STATE_VARS = 2000
SIZE_ALLOWANCE = 2000


class Answers:
    """Answers requests from the node's ledger.

    Args:
        node: The network's node; its lock is held during every answer.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._ledger = node.ledger
        self.by_command: dict[str, Callable[[Any], Any]] = {
            "get_joint": self.joint,
            "get_last_mci": lambda params: self._ledger.graph.newest_index,
            "get_system_vars": lambda params: system_vars(self._ledger.witnesses),
            "get_witnesses": lambda params: list(self._ledger.witnesses),
            "light/get_aa_balances": self.agent_balances,
            "light/get_aa_responses": self.agent_responses,
            "light/get_aa_state_vars": self.agent_state,
            "light/get_aas_by_base_aas": self.agents_by_base,
            "light/get_balances": self.balances,
            "light/get_definition": self.definition,
            "light/get_definition_for_address": self.definition_for_address,
            "light/get_parents_and_last_ball_and_witness_list_unit": self.parents,
            "light/pick_divisible_coins_for_amount": self.coins,
        }

    def joint(self, unit: Any) -> dict[str, Any]:
        """`get_joint`."""
        if not isinstance(unit, str) or not unit:
            raise BadRequest("unit must be a string")
        vertex = self._ledger.graph.vertices.get(unit)
        if vertex is None:
            return {"joint_not_found": unit}
        joint = joint_of(vertex, self._ledger.graph.outlook())
        index = vertex.main_chain_index
        if vertex.ball is not None and index is not None and index > self._ledger.lowest_retrievable_index:
            del joint["ball"]
            joint.pop("skiplist_units", None)
        return {"joint": joint}

    def parents(self, params: Any) -> dict[str, Any]:
        """`light/get_parents_and_last_ball_and_witness_list_unit`."""
        if not isinstance(params, dict) or not params:
            raise BadRequest("no params in get_parents_and_last_ball_and_witness_list_unit")
        witnesses = params.get("witnesses", list(self._ledger.witnesses))
        if not isinstance(witnesses, list) or len(witnesses) != len(self._ledger.witnesses):
            raise BadRequest("wrong number of witnesses")
        if not all(map(is_valid_address, witnesses)):
            raise BadRequest("bad witness addresses")
        responses = params.get("max_aa_responses") or 0
        if not is_natural(responses) or responses > MAX_AGENT_RESPONSES:
            raise BadRequest("bad max_aa_responses")
        authors: Any = params.get("from_addresses")
        payees: Any = params.get("output_addresses")
        if not _is_list_of_addresses(authors, MAX_UNIT_AUTHORS):
            raise BadRequest("bad from addresses")
        if payees is None:
            raise BadRequest("no output addresses")
        if not _is_list_of_addresses(payees, MAX_OUTPUT_ADDRESSES):
            raise BadRequest("bad output addresses")
        place = attach(self._ledger, self._node.clock.now(), authors, payees, responses)
        return {
            "timestamp": place.timestamp,
            "parent_units": [parent.hash for parent in place.parents],
            "last_stable_mc_ball": place.last_ball.ball,
            "last_stable_mc_ball_unit": place.last_ball.hash,
            "last_stable_mc_ball_mci": place.last_ball.main_chain_index,
            "tps_fee": place.tps_fee,
            "count_primary_aa_triggers": place.count_triggers,
        }

    def definition(self, address: Any) -> list[Any] | None:
        """`light/get_definition`: of an address or an agent, None when it is unknown."""
        if not address:
            raise BadRequest("no params in light/get_definition")
        if not is_valid_address(address):
            raise BadRequest("address not valid")
        revealed = self._ledger.revealed_definition(address)
        if revealed is not None:
            return revealed[0]
        agent = self._ledger.agents.known.get(address)
        return agent.definition if agent is not None else self._ledger.agents.announced.get(address)

    def definition_for_address(self, params: Any) -> dict[str, Any]:
        """`light/get_definition_for_address`."""
        address = _address_in(params, "light/get_definition_for_address")
        revealed = self._ledger.revealed_definition(address)
        if revealed is None:
            return {"definition_chash": address, "is_stable": True}
        return {"definition_chash": address, "definition": revealed[0], "is_stable": revealed[1]}

    def balances(self, addresses: Any) -> dict[str, Any]:
        """`light/get_balances`."""
        if not addresses:
            raise BadRequest("no params in light/get_balances")
        if not isinstance(addresses, list):
            raise BadRequest("addresses must be non-empty array")
        if not all(is_valid_address(address) for address in addresses):
            raise BadRequest("some addresses are not valid")
        if len(addresses) > MAX_ADDRESSES_FOR_BALANCES:
            raise BadRequest("too many addresses")
        balances: dict[str, Any] = {}
        for address in addresses:
            holdings = self._ledger.books.spendable(address)
            if holdings:
                balances[address] = by_asset = {BASE: _no_balance()}
                for holding in holdings:
                    kind = "stable" if holding.vertex.is_stable else "pending"
                    balance = by_asset.setdefault(holding.asset, _no_balance())
                    balance[kind] += holding.amount
                    balance[f"{kind}_outputs_count"] += 1
                    balance["total"] += holding.amount
        return balances

    def coins(self, params: Any) -> dict[str, Any]:
        """`light/pick_divisible_coins_for_amount`."""
        if not isinstance(params, dict) or not params:
            raise BadRequest("no params in light/pick_divisible_coins_for_amount")
        addresses, index, amount = (params.get(name) for name in ("addresses", "last_ball_mci", "amount"))
        if not addresses or not index or not amount:
            raise BadRequest("missing params in light/pick_divisible_coins_for_amount")
        asset = params.get("asset") or BASE
        if asset != BASE and not is_valid_base64(asset, HASH_LENGTH):
            raise BadRequest("asset is not valid")
        if not _is_list_of_addresses(addresses, MAX_UNIT_AUTHORS):
            raise BadRequest("some addresses are not valid")
        if not is_positive(index):
            raise BadRequest("last_ball_mci is not valid")
        if not is_positive(amount):
            raise BadRequest("amount is not valid")
        if amount > MAX_CAP:
            raise BadRequest("amount is too large")
        if params.get("spend_unconfirmed", "own") not in ("own", "none", "all"):
            raise BadRequest("spend_unconfirmed is not valid")
        if asset != BASE and asset not in self._ledger.books.assets:
            raise BadRequest(f"asset {asset} not found")
        return self._pick_coins(addresses, asset, index, amount, params.get("spend_unconfirmed", "own"))

    def _pick_coins(
        self, addresses: list[str], asset: str, index: int, amount: int, spend: str
    ) -> dict[str, Any]:
        target = amount + SIZE_ALLOWANCE
        candidates = []
        for address in addresses:
            for holding in self._ledger.books.spendable(address):
                vertex = holding.vertex
                is_old = vertex.main_chain_index is not None and vertex.main_chain_index <= index
                is_own = not set(vertex.authors).isdisjoint(addresses)
                is_usable = is_old or spend == "all" or (spend == "own" and is_own)
                if holding.asset == asset and is_usable:
                    candidates.append(holding)
        single = [holding for holding in candidates if holding.amount > target]
        picked = [min(single, key=lambda holding: holding.amount)] if single else []
        if not picked:
            for holding in sorted(candidates, key=lambda holding: -holding.amount):
                picked.append(holding)
                if sum(each.amount for each in picked) > target:
                    break
        total = sum(holding.amount for holding in picked)
        if total <= target:
            return {"inputs_with_proofs": [], "total_amount": 0}
        return {"inputs_with_proofs": [{"input": h.key._asdict()} for h in picked], "total_amount": total}

    def agent_state(self, params: Any) -> dict[str, Any]:
        """`light/get_aa_state_vars`."""
        address = _address_in(params, "light/get_aa_state_vars")
        lowest, highest = params.get("var_prefix_from", ""), params.get("var_prefix_to", "")
        if not isinstance(lowest, str):
            raise BadRequest("var_prefix_from must be string")
        if not isinstance(highest, str):
            raise BadRequest("var_prefix_to must be string")
        if "var_prefix" in params:
            if not isinstance(params["var_prefix"], str):
                raise BadRequest("var_prefix must be string")
            if "var_prefix_from" in params or "var_prefix_to" in params:
                raise BadRequest("var_prefix cannot be used with var_prefix_from or var_prefix_to")
            lowest = highest = params["var_prefix"]
        limit = params.get("limit", MAX_STATE_VARS)
        if not is_positive(limit):
            raise BadRequest("limit must be a positive integer")
        if limit > MAX_STATE_VARS:
            raise BadRequest(f"limit cannot be greater than {MAX_STATE_VARS}")
        agent = self._ledger.agents.known.get(address)
        if agent is None:
            if address not in self._ledger.agents.announced:
                raise BadRequest("not an AA")
            return {}
        variables = sorted(agent.state.variables().items())
        chosen = [(n, v) for n, v in variables if n >= lowest and (not highest or n <= highest + "\uffff")]
        return dict(chosen[:limit])

    def agent_balances(self, params: Any) -> dict[str, Any]:
        """`light/get_aa_balances`."""
        agent = self._ledger.agents.known.get(_address_in(params, "light/get_aa_balances"))
        return {"balances": {} if agent is None else dict(agent.balances)}

    def agent_responses(self, params: Any) -> list[dict[str, Any]]:
        """`light/get_aa_responses`: up to 100 answers, the newest first unless asked otherwise."""
        if not isinstance(params, dict) or not params:
            raise BadRequest("no params in light/get_aa_responses")
        addresses = _agents_in(params, "aas", "aa", "aas in light/get_aa_responses", "aa address not valid")
        for name in ("max_mci", "min_mci"):
            if name in params and not is_positive(params[name]):
                raise BadRequest(f"{name} must be positive integer")
        order = params.get("order") or "DESC"
        if order not in ("ASC", "DESC"):
            raise BadRequest("bad order")
        lowest, highest = params.get("min_mci", 0), params.get("max_mci")
        answers = [
            answer
            for address in dict.fromkeys(addresses)
            for answer in self._ledger.agents.answers_by_agent.get(address, ())
            if answer.index >= lowest and (highest is None or answer.index <= highest)
        ]
        answers.sort(key=lambda answer: answer.number, reverse=order == "DESC")
        outlook = self._ledger.graph.outlook()
        return [_response_row(answer, outlook) for answer in answers[:MAX_ANSWERS]]

    def agents_by_base(self, params: Any) -> list[dict[str, Any]]:
        """`light/get_aas_by_base_aas`, with equality of parameters as the only condition."""
        if not isinstance(params, dict) or not params:
            raise BadRequest("no params in light/get_aas_by_base_aas")
        bases = _agents_in(
            params,
            "base_aas",
            "base_aa",
            "base_aas in light/get_aas_by_base_aas",
            "base_aa address not valid",
        )
        wanted = params.get("params")
        wanted = wanted if isinstance(wanted, dict) else {}
        return [
            {
                "address": agent.address,
                "definition": agent.definition,
                "unit": agent.vertex.hash,
                "creation_date": creation_date(agent.vertex.timestamp),
            }
            for agent in self._ledger.agents.known.values()
            if agent.definition[1]["base_aa"] in bases and _has_parameters(agent, wanted)
        ]


def _has_parameters(agent: Agent, wanted: dict[str, Any]) -> bool:
    parameters = agent.definition[1]["params"]
    for name, value in wanted.items():
        if isinstance(value, (list, dict)):
            if not isinstance(value, list) or len(value) != 2 or value[0] != "=":
                raise BadRequest(
                    f"invalid comparison of param {name}: the local network compares with = only"
                )
            value = value[1]
        if parameters.get(name) != value:
            return False
    return True


def _response_row(answer: Answer, outlook: Outlook) -> dict[str, Any]:
    row = {
        **outline_of(answer),
        "response_unit": None,
        "response": response_of(answer),
        "timestamp": answer.trigger.timestamp,
    }
    if answer.response is not None:
        row["response_unit"] = answer.response.hash
        row["objResponseUnit"] = joint_of(answer.response, outlook)["unit"]
    return row


def _address_in(params: Any, command: str) -> str:
    if not isinstance(params, dict) or not params:
        raise BadRequest(f"no params in {command}")
    address = params.get("address")
    if not is_valid_address(address):
        raise BadRequest("address not valid")
    return str(address)


def _agents_in(
    params: dict[str, Any], plural: str, singular: str, where: str, when_invalid: str
) -> list[str]:
    addresses = params.get(plural) or [params.get(singular)]
    if not isinstance(addresses, list):
        raise BadRequest(f"no {where}")
    if len(addresses) > MAX_AGENTS:
        raise BadRequest(f"too many {where}, max {MAX_AGENTS}")
    if not all(is_valid_address(address) for address in addresses):
        raise BadRequest(when_invalid)
    return addresses


def _is_list_of_addresses(values: Any, limit: int) -> bool:
    is_list = isinstance(values, list) and 0 < len(values) <= limit
    return is_list and all(is_valid_address(value) for value in values)


def _no_balance() -> dict[str, int]:
    return {"stable": 0, "pending": 0, "stable_outputs_count": 0, "pending_outputs_count": 0, "total": 0}
