"""Witness proofs and signatures that no recording has: changed definitions, strange providers, unproven signers."""

from __future__ import annotations

from typing import Any

import pytest

from paypercall.obyte.address import definition_address
from paypercall.obyte.canonical import hash_base64_json
from paypercall.obyte.errors import ProofError
from paypercall.obyte.keys import Key
from paypercall.obyte.proof import HistoryUnit, verify_history
from paypercall.obyte.unit import Unit, stripped_unit
from tests.obyte.hub_answers import hash_again
from tests.obyte.small_ledger import FIRST_TIMESTAMP, SmallLedger, key_named, message, payment

PROVIDERS = [key_named(f"provider {number}") for number in range(3)]
CUSTOMER = key_named("customer")
STRANGER = key_named("stranger")


def ledger_with(*providers: Key) -> SmallLedger:
    ledger = SmallLedger(providers or PROVIDERS)
    ledger.advance()
    return ledger


def judge(ledger: SmallLedger, unit: Unit, **known: Any) -> HistoryUnit:
    [judged] = verify_history(ledger.history(unit), ledger.network, **known).units
    return judged


def test_a_history_of_the_small_ledger_proves_its_units() -> None:
    ledger = ledger_with()
    paid = ledger.add(CUSTOMER, definitions={CUSTOMER.address: CUSTOMER.definition})
    assert not judge(ledger, paid).is_stable
    ledger.advance()
    judged = judge(ledger, paid)
    assert judged.is_stable
    assert judged.main_chain_index == 10


def test_the_tip_alone_proves_nothing_when_a_majority_is_two() -> None:
    """What only the newest unit names as its last ball is one provider's word."""
    ledger = ledger_with()
    paid = ledger.add(CUSTOMER, definitions={CUSTOMER.address: CUSTOMER.definition})
    for key in PROVIDERS:
        ledger.add(key)
    history = ledger.history(paid)
    tip = history["unstable_mc_joints"][0]["unit"]
    assert tip["last_ball_unit"] == paid["unit"]
    proof = [{"unit": paid["unit"], "ball": tip["last_ball"], "parent_balls": [ledger.ball(9)]}]
    history["proofchain_balls"] = proof
    with pytest.raises(ProofError, match="not connected"):
        verify_history(history, ledger.network)


def test_the_time_is_what_a_majority_of_the_providers_has_signed() -> None:
    """One of them alone can claim any time, and strangers' units tell none."""
    ledger = ledger_with()
    late = FIRST_TIMESTAMP + 10**6
    first, second, third = PROVIDERS
    ledger.add(first, timestamp=late)
    ledger.add(CUSTOMER, definitions={CUSTOMER.address: CUSTOMER.definition}, timestamp=late)
    ledger.add(second)
    ledger.add(third)
    assert verify_history(ledger.history(ledger.genesis), ledger.network).time == FIRST_TIMESTAMP + 13
    ledger.add(third, timestamp=late + 1)
    assert verify_history(ledger.history(ledger.genesis), ledger.network).time == late


def test_the_time_of_a_unit_of_the_first_version_tells_nothing() -> None:
    """No hash covers it, and a hub may show the newest units of any moment in the past."""
    ledger = ledger_with()
    for _ in range(4):
        for key in PROVIDERS:
            ledger.add(key, version="1.0dev")
    history = ledger.history(ledger.genesis)
    for joint in history["unstable_mc_joints"]:
        joint["unit"] = {**joint["unit"], "timestamp": FIRST_TIMESTAMP + 10**6}
    assert verify_history(history, ledger.network).time == 0


def test_a_provider_that_signs_twice_is_no_majority() -> None:
    ledger = ledger_with()
    for _ in range(8):
        ledger.add(PROVIDERS[0])
    with pytest.raises(ProofError, match="too few order providers"):
        verify_history(ledger.history(ledger.units[3]), ledger.network)


def test_providers_that_the_network_does_not_have_do_not_count() -> None:
    ledger = ledger_with()
    others = SmallLedger(PROVIDERS, [key_named(f"other {number}").address for number in range(3)])
    network = others.network
    with pytest.raises(ProofError):
        verify_history(ledger.history(ledger.units[3]), network)


def test_a_unit_in_a_providers_name_with_a_strangers_signature_is_refused() -> None:
    ledger = ledger_with()
    ledger.add(STRANGER, address=PROVIDERS[0].address)
    with pytest.raises(ProofError, match="bad signature of an order provider"):
        verify_history(ledger.history(ledger.units[3]), ledger.network)


def test_a_unit_in_a_providers_name_with_no_signature_is_refused() -> None:
    ledger = ledger_with()
    history = ledger.history(ledger.units[3])
    tip = history["unstable_mc_joints"][0]
    tip["unit"] = {**tip["unit"], "authors": [{"address": PROVIDERS[2].address}]}
    hash_again(tip)
    with pytest.raises(ProofError, match="bad signature of an order provider"):
        verify_history(history, ledger.network)


def change_definition(ledger: SmallLedger, old: Key, new: Key, *signers: Key) -> list[Unit]:
    """A provider changes its definition and shows the new one; whoever signs may not be it."""
    payload = {"definition_chash": new.address}
    if len(signers) > 1:
        payload["address"] = old.address
    change = ledger.add(*signers, messages=[message("address_definition_change", payload)])
    shown = ledger.add(new, address=old.address, definitions={old.address: new.definition})
    return [change, shown]


@pytest.mark.parametrize("cosigners", [[], [PROVIDERS[1]]], ids=["alone", "with another"])
def test_a_provider_may_change_its_definition(cosigners: list[Key]) -> None:
    ledger = ledger_with(*PROVIDERS[:2], PROVIDERS[2])
    old, new = PROVIDERS[0], key_named("new")
    joints = change_definition(ledger, old, new, old, *cosigners)
    for _ in range(4):
        ledger.add(new, address=old.address)
        ledger.add(PROVIDERS[1])
    history = ledger.history(joints[0], definitions=joints)
    [judged] = verify_history(history, ledger.network).units
    assert judged.is_stable


def test_a_definition_changed_by_a_stranger_is_refused() -> None:
    ledger = ledger_with()
    payload = {"definition_chash": STRANGER.address}
    forged = ledger.add(
        STRANGER, address=PROVIDERS[0].address, messages=[message("address_definition_change", payload)]
    )
    ledger.advance()
    with pytest.raises(ProofError, match="bad signature of an order provider"):
        verify_history(ledger.history(ledger.units[3], definitions=[forged]), ledger.network)


def test_a_cosigners_change_does_not_change_the_providers_definition() -> None:
    """A change in a unit of several authors is of the address that it names."""
    ledger = ledger_with()
    payload = {"definition_chash": STRANGER.address, "address": CUSTOMER.address}
    shared = ledger.add(
        *sorted([PROVIDERS[0], CUSTOMER], key=lambda key: key.address),
        messages=[message("address_definition_change", payload)],
        definitions={CUSTOMER.address: CUSTOMER.definition},
    )
    ledger.advance()
    [judged] = verify_history(ledger.history(shared, definitions=[shared]), ledger.network).units
    assert judged.is_stable


def test_a_provider_that_signs_with_its_old_key_after_a_change_is_refused() -> None:
    ledger = ledger_with()
    joints = change_definition(ledger, PROVIDERS[0], key_named("new"), PROVIDERS[0])
    ledger.advance()
    with pytest.raises(ProofError, match="bad signature of an order provider"):
        verify_history(ledger.history(joints[0], definitions=joints), ledger.network)


def test_a_new_definition_that_is_not_shown_is_missing() -> None:
    ledger = ledger_with()
    joints = change_definition(ledger, PROVIDERS[0], key_named("new"), PROVIDERS[0])
    ledger.advance()
    with pytest.raises(ProofError, match="definition is missing"):
        verify_history(ledger.history(joints[0], definitions=joints[:1]), ledger.network)


def test_an_exchanged_definition_change_is_noticed() -> None:
    """A unit's hash covers its payloads only through their hashes."""
    ledger = ledger_with()
    joints = change_definition(ledger, PROVIDERS[0], key_named("new"), PROVIDERS[0])
    for _ in range(3):
        ledger.add(PROVIDERS[1])
        ledger.add(PROVIDERS[2])
    history = ledger.history(ledger.units[3], definitions=joints)
    verify_history(history, ledger.network)
    change = history["witness_change_and_definition_joints"][1]["unit"]["messages"][0]
    change["payload"] = {"definition_chash": STRANGER.address}
    with pytest.raises(ProofError, match="wrong payload hash"):
        verify_history(history, ledger.network)


def test_a_definition_change_without_its_messages_is_refused() -> None:
    ledger = ledger_with()
    history = ledger.history(ledger.units[3])
    joint = history["witness_change_and_definition_joints"][0]
    joint["unit"] = {**stripped_unit(joint["unit"]), "unit": joint["unit"]["unit"]}
    with pytest.raises(ProofError, match="without its messages"):
        verify_history(history, ledger.network)


def test_a_provider_may_publish_its_definition_in_the_units_shown() -> None:
    """They are shown newest first; the definition is only in the older one."""
    newcomer = key_named("newcomer")
    ledger = SmallLedger(PROVIDERS[:2], sorted(key.address for key in (*PROVIDERS[:2], newcomer)))
    ledger.advance(4)
    ledger.add(newcomer, definitions={newcomer.address: newcomer.definition})
    ledger.add(PROVIDERS[0])
    ledger.add(newcomer)
    [judged] = verify_history(ledger.history(ledger.units[1]), ledger.network).units
    assert judged.is_stable


def test_the_units_shown_have_no_balls() -> None:
    ledger = ledger_with()
    history = ledger.history(ledger.units[3])
    history["unstable_mc_joints"][1]["ball"] = ledger.ball(7)
    with pytest.raises(ProofError, match="has a ball"):
        verify_history(history, ledger.network)


def test_the_first_unit_of_the_ledger_names_no_last_ball() -> None:
    ledger = ledger_with()
    history = ledger.history(ledger.units[3])
    history["unstable_mc_joints"] = [{"unit": unit} for unit in reversed(ledger.units)]
    with pytest.raises(ProofError, match="no last ball"):
        verify_history(history, ledger.network)


def test_a_definition_other_than_the_one_in_force_is_refused() -> None:
    ledger = ledger_with()
    ledger.add(
        STRANGER, address=PROVIDERS[0].address, definitions={PROVIDERS[0].address: STRANGER.definition}
    )
    with pytest.raises(ProofError, match="not the one in force"):
        verify_history(ledger.history(ledger.units[3]), ledger.network)


def test_definitions_of_strangers_are_refused() -> None:
    ledger = ledger_with()
    foreign = ledger.add(CUSTOMER, definitions={CUSTOMER.address: CUSTOMER.definition})
    ledger.advance()
    with pytest.raises(ProofError, match="of no order provider"):
        verify_history(ledger.history(foreign, definitions=[foreign]), ledger.network)


SHARED_DEFINITION = ["or", [key.definition for key in (CUSTOMER, STRANGER)]]
SHARED_ADDRESS = definition_address(SHARED_DEFINITION)


def ledger_with_shared_provider(checkable: int) -> SmallLedger:
    """One order provider is more than one key; the first `checkable` ordinary ones are its colleagues."""
    keys = PROVIDERS[:checkable]
    ledger = SmallLedger(keys, [*(key.address for key in PROVIDERS[:2]), SHARED_ADDRESS])
    ledger.add(CUSTOMER, address=SHARED_ADDRESS, definitions={SHARED_ADDRESS: SHARED_DEFINITION})
    for _ in range(4):
        ledger.advance(1)
        ledger.add(CUSTOMER, address=SHARED_ADDRESS)
    return ledger


def test_a_provider_of_more_than_one_key_does_not_disturb_the_others() -> None:
    ledger = ledger_with_shared_provider(checkable=2)
    first = ledger.units[1]
    [judged] = verify_history(ledger.history(first, definitions=[first]), ledger.network).units
    assert judged.is_stable


def test_a_provider_of_more_than_one_key_is_not_counted() -> None:
    ledger = ledger_with_shared_provider(checkable=1)
    first = ledger.units[1]
    with pytest.raises(ProofError, match="too few order providers"):
        verify_history(ledger.history(first, definitions=[first]), ledger.network)


def test_the_signature_of_an_unconfirmed_unit_is_checked_with_the_definition_it_carries() -> None:
    ledger = ledger_with()
    definitions = {CUSTOMER.address: CUSTOMER.definition}
    genuine = ledger.compose(CUSTOMER, messages=[payment(STRANGER.address)], definitions=definitions)
    judged = judge(ledger, genuine)
    assert (judged.is_stable, judged.is_signature_checked) == (False, True)
    forged = ledger.compose(STRANGER, address=CUSTOMER.address, definitions=definitions)
    with pytest.raises(ProofError, match="bad signature"):
        judge(ledger, forged)


def test_the_bad_signature_of_one_author_is_seen_behind_an_unknown_one() -> None:
    ledger = ledger_with()
    first, second = sorted((CUSTOMER, STRANGER), key=lambda key: key.address)
    unit = ledger.compose(first, second, definitions={second.address: second.definition})
    judged = judge(ledger, unit)
    assert not judged.is_signature_checked
    assert judge(ledger, unit, known_definitions={first.address: first.definition}).is_signature_checked
    unit["authors"][1]["authentifiers"] = unit["authors"][0]["authentifiers"]
    hash_again({"unit": unit})
    with pytest.raises(ProofError, match="bad signature"):
        judge(ledger, unit)


def test_a_definition_is_known_from_another_unit_or_from_the_caller() -> None:
    ledger = ledger_with()
    introduced = ledger.add(CUSTOMER, definitions={CUSTOMER.address: CUSTOMER.definition})
    ledger.advance()
    later = ledger.compose(CUSTOMER)
    assert not judge(ledger, later).is_signature_checked
    assert judge(
        ledger, later, known_definitions={CUSTOMER.address: CUSTOMER.definition}
    ).is_signature_checked
    both = verify_history(ledger.history(later, introduced), ledger.network).units
    assert [unit.is_signature_checked for unit in both] == [True, True]


def test_a_signature_that_a_known_definition_does_not_explain_is_not_counted() -> None:
    """Not refused: the address may have changed its definition, and dust must not blind us."""
    ledger = ledger_with()
    known = {CUSTOMER.address: CUSTOMER.definition}
    changed = ledger.compose(STRANGER, address=CUSTOMER.address)
    assert not judge(ledger, changed, known_definitions=known).is_signature_checked
    shown = ledger.compose(
        STRANGER, address=CUSTOMER.address, definitions={CUSTOMER.address: STRANGER.definition}
    )
    assert not judge(ledger, shown, known_definitions=known).is_signature_checked


def test_a_definition_that_is_not_the_addresss_own_teaches_nothing() -> None:
    ledger = ledger_with()
    claimed = ledger.compose(
        STRANGER, address=CUSTOMER.address, definitions={CUSTOMER.address: STRANGER.definition}
    )
    invented = ledger.compose(STRANGER, address=CUSTOMER.address)
    units = verify_history(ledger.history(claimed, invented), ledger.network).units
    assert [unit.is_signature_checked for unit in units] == [False, False]


def test_a_unit_under_a_definition_of_several_keys_is_not_counted_before_it_is_stable() -> None:
    ledger = ledger_with()
    unit = ledger.add(CUSTOMER, address=SHARED_ADDRESS, definitions={SHARED_ADDRESS: SHARED_DEFINITION})
    assert not judge(ledger, unit).is_signature_checked
    ledger.advance()
    judged = judge(ledger, unit)
    assert judged.is_stable
    assert judged.is_signature_checked


def test_temporary_data_may_be_gone_but_not_exchanged() -> None:
    ledger = ledger_with()
    data = {"temperature": 7}
    payload = {"data_length": 19, "data_hash": hash_base64_json(data)}
    carried = message("temp_data", {**payload, "data": data})
    unit = ledger.add(CUSTOMER, messages=[carried], definitions={CUSTOMER.address: CUSTOMER.definition})
    ledger.advance()
    assert judge(ledger, unit).is_stable
    history = ledger.history(unit)
    history["joints"][0]["unit"]["messages"] = [message("temp_data", payload)]
    assert verify_history(history, ledger.network).units[0].is_stable
    exchanged = {**payload, "data": {"temperature": 8}}
    history["joints"][0]["unit"]["messages"] = [{**carried, "payload": exchanged}]
    with pytest.raises(ProofError, match="temporary data"):
        verify_history(history, ledger.network)
