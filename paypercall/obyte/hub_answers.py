"""What a hub's answers must look like, apart from histories: each is read into its one form, or refused.

Pure. That an answer has the right shape does not make it true; only an asset's definition proves itself.
"""

from __future__ import annotations

from typing import Any

from paypercall.obyte.composer import Parents
from paypercall.obyte.errors import HubError, ObyteError
from paypercall.obyte.shape import is_address, is_hash, is_hash_list, is_natural, is_positive
from paypercall.obyte.unit import payload_hash, unit_hash

RESPONSES_IN_PAGE = 100  # ocore `light/get_aa_responses`


def read_asset_definition(answer: Any, asset: str) -> dict[str, Any] | None:
    """Reads the answer to `get_joint` for the unit that defined an asset; None if there is none.

    Raises:
        HubError: The hub gave another unit than asked for.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("joint"), dict):
        return None
    unit = answer["joint"].get("unit")
    if not isinstance(unit, dict) or not _has_hash(unit, asset):
        raise HubError(f"the hub gave another unit than {asset}")
    messages = unit.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("app") == "asset":
            return _checked_payload(message, asset)
    return None


def read_whether_known(answer: Any, unit: str) -> bool:
    """Reads whether the answer to `get_joint` has the unit that was asked for; on the hub's word.

    Raises:
        HubError: The hub gave neither that unit nor said that there is none.
    """
    if isinstance(answer, dict) and answer.get("joint_not_found") == unit:
        return False
    joint = answer.get("joint") if isinstance(answer, dict) else None
    found = joint.get("unit") if isinstance(joint, dict) else None
    if not isinstance(found, dict) or found.get("unit") != unit:
        raise HubError(f"the hub gave another unit than {unit}")
    return True


def read_agent_responses(answer: Any, lowest: int, highest: int | None = None) -> list[dict[str, Any]]:
    """Reads a page of `light/get_aa_responses` in ascending order, within main chain indices.

    Raises:
        HubError: It is malformed, out of order or longer than a page.
    """
    rows: list[dict[str, Any]] = answer if isinstance(answer, list) else [{}]
    if len(rows) > RESPONSES_IN_PAGE:
        raise HubError("the hub's answer about an agent's responses is longer than a page")
    for row in rows:
        is_sound = isinstance(row, dict) and is_positive(row.get("mci")) and row.get("bounced") in (0, 1)
        if not is_sound or row["mci"] < lowest or (highest is not None and row["mci"] > highest):
            raise HubError("the hub's answer about an agent's responses is malformed or out of order")
        lowest = row["mci"]
    return rows


def read_agents(answer: Any) -> list[Any]:
    """Reads the definitions of an answer to `light/get_aas_by_base_aas`.

    Raises:
        HubError: It is no list of objects.
    """
    if not isinstance(answer, list) or not all(isinstance(row, dict) for row in answer):
        raise HubError("the hub's answer about agents is no list of objects")
    return [row.get("definition") for row in answer]


def read_index(answer: Any) -> int:
    """Reads the answer to `get_last_mci`.

    Raises:
        HubError: It is no main chain index.
    """
    if not is_natural(answer):
        raise HubError("the hub's answer about its main chain is no index")
    return answer


def read_order_providers(answer: Any) -> frozenset[str]:
    """Reads the answer to `get_witnesses`.

    Raises:
        HubError: It is no list of addresses.
    """
    if not isinstance(answer, list) or not answer or not all(map(is_address, answer)):
        raise HubError("the hub's answer about order providers is no list of addresses")
    return frozenset(answer)


def read_parents(answer: Any) -> Parents:
    """Reads the answer to `light/get_parents_and_last_ball_and_witness_list_unit`.

    Raises:
        HubError: It is incomplete or malformed.
    """
    if not isinstance(answer, dict):
        raise HubError("the hub's answer about parents is no object")
    is_sound = (
        is_positive(answer.get("timestamp"))
        and is_hash_list(answer.get("parent_units"))
        and is_hash(answer.get("last_stable_mc_ball"))
        and is_hash(answer.get("last_stable_mc_ball_unit"))
        and is_natural(answer.get("last_stable_mc_ball_mci"))
        and is_natural(answer.get("tps_fee"))
        and is_natural(answer.get("count_primary_aa_triggers", 0))
    )
    if not is_sound:
        raise HubError("the hub's answer about parents is incomplete or malformed")
    return Parents(
        timestamp=answer["timestamp"],
        parent_units=tuple(answer["parent_units"]),
        last_ball=answer["last_stable_mc_ball"],
        last_ball_unit=answer["last_stable_mc_ball_unit"],
        last_ball_mci=answer["last_stable_mc_ball_mci"],
        tps_fee=answer["tps_fee"],
        primary_aa_triggers=answer.get("count_primary_aa_triggers", 0),
    )


def _checked_payload(message: dict[str, Any], asset: str) -> dict[str, Any]:
    payload = message.get("payload")
    if not isinstance(payload, dict) or not _has_payload_hash(payload, message.get("payload_hash")):
        raise HubError(f"the hub gave another definition than that of {asset}")
    return payload


def _has_payload_hash(payload: dict[str, Any], expected: object) -> bool:
    try:
        return bool(payload_hash(payload) == expected)
    except ObyteError:
        return False


def _has_hash(unit: dict[str, Any], expected: str) -> bool:
    try:
        return unit_hash(unit) == expected
    except ObyteError:
        return False
