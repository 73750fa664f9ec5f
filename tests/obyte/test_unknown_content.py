"""Units of forms that are not known here, which anybody may send us: they blind nobody, and their payments count as
unknown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from paypercall.obyte.coins import Balance, CoinBook
from paypercall.obyte.proof import HistoryUnit, verify_history
from paypercall.obyte.unit import Unit, sign_unit
from tests.obyte.hub_answers import hash_again
from tests.obyte.small_ledger import SmallLedger, key_named, message, payment

US, PAYER = key_named("us"), key_named("payer")

Change = Callable[[Unit], Any]

CHANGES: dict[str, Change] = {
    "a field of the unit": lambda unit: unit.update({"new_fee": 5}),
    "a field of an author": lambda unit: unit["authors"][0].update({"role": "payer"}),
    "a place for payloads": lambda unit: unit["messages"][1].update({"payload_location": "elsewhere"}),
    "an output without an address": lambda unit: unit["messages"][0]["payload"].update(
        {"outputs": [{"to": US.address, "amount": 5}]}
    ),
}


def unknown(ledger: SmallLedger, change: Change) -> Unit:
    """The next unit of the payer, which pays us and says something of an unknown form."""
    unit = ledger.compose(
        PAYER,
        messages=[payment(US.address, 500), message("text", "hello")],
        definitions={PAYER.address: PAYER.definition},
    )
    change(unit)
    hash_again({"unit": unit})
    return sign_unit(unit, PAYER)


def judged(ledger: SmallLedger, *units: Unit) -> list[HistoryUnit]:
    """What a history of the units shows, in their order."""
    history = verify_history(ledger.history(*units), ledger.network)
    by_hash = {entry.hash: entry for entry in history.units}
    return [by_hash[unit["unit"]] for unit in units]


every_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


@every_change
def test_what_a_stable_unit_of_an_unknown_form_pays_is_unknown_and_the_rest_of_the_history_counts(
    change: Change,
) -> None:
    ledger = SmallLedger([key_named("provider")])
    known = ledger.add(PAYER, messages=[payment(US.address, 70)])
    strange = unknown(ledger, change)
    ledger.units.append(strange)
    ledger.advance(12)
    entries = judged(ledger, known, strange)
    assert [(entry.is_stable, entry.is_stripped) for entry in entries] == [(True, False), (True, True)]
    assert "messages" not in entries[1].unit
    assert entries[1].unit["timestamp"] == strange["timestamp"]
    assert entries[1].unit["authors"] == [{"address": PAYER.address}]
    book = CoinBook(US.address)
    for entry in entries:
        book.take(entry)
    assert book.balances() == {"base": Balance(stable=70, pending=0)}


@every_change
def test_an_unconfirmed_unit_of_an_unknown_form_counts_for_nothing(change: Change) -> None:
    ledger = SmallLedger([key_named("provider")])
    known = ledger.add(PAYER, messages=[payment(US.address, 70)])
    ledger.advance(12)
    strange = unknown(ledger, change)
    entries = judged(ledger, known, strange)
    assert [entry.is_stable for entry in entries] == [True, False]
    assert (entries[1].is_stripped, entries[1].is_signature_checked) == (True, False)


def test_the_witness_proof_holds_with_an_order_providers_unit_of_an_unknown_form() -> None:
    """Order providers are the first to run what is new."""
    provider = key_named("provider")
    ledger = SmallLedger([provider])
    known = ledger.add(PAYER, messages=[payment(US.address, 70)])
    ledger.advance(12)
    tip = ledger.compose(provider)
    tip["new_fee"] = 5
    hash_again({"unit": tip})
    ledger.units.append(sign_unit(tip, provider))
    assert [entry.is_stable for entry in judged(ledger, known)] == [True]
