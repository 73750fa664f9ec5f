"""Units of any content: whoever signs a unit, or a hub that invents one, may write into it what they like.

Nothing that reads the units of a verified history may fail by it: the node would stop at the same unit again and again.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from paypercall.contract import (
    BASE,
    BOUNCE_FEE,
    ChannelParameters,
    TriggerKind,
    defined_agents,
    read_response,
    read_trigger,
)
from paypercall.obyte.coins import CoinBook
from paypercall.obyte.errors import CanonicalError, ProofError
from paypercall.obyte.proof import History, verify_history
from paypercall.obyte.transactions import transactions_of
from tests.obyte.small_ledger import SmallLedger, key_named, message, payment

PROVIDER, STRANGER, ME = key_named("provider"), key_named("stranger"), key_named("me")
CHANNEL = ChannelParameters(ME.address, STRANGER.address, BASE, "a salt", 3600)
AGENT = CHANNEL.aa_address
LARGEST = 2**53

NAMES = (
    *("address", "definition", "definition_chash", "asset", "denomination", "inputs", "outputs", "amount"),
    *(
        "type",
        "unit",
        "message_index",
        "output_index",
        "data",
        "data_length",
        "data_hash",
        "base_aa",
        "params",
    ),
    *("open", "closing", "closed", "close", "confirm", "fraud_proof", "period", "transferredFromMe"),
    *("event_id", "trigger_unit", "initiated_by", "timeout", "salt", "addressA", "addressB"),
    *(ME.address, STRANGER.address, AGENT),
)
APPS = ("data", "definition", "asset", "address_definition_change", "text", "no app")
APPS_OF_KNOWN_SHAPE = (
    "payment",
    "temp_data",
)  # in any other shape, all of the unit's content counts as unknown

scalars = (
    st.booleans()
    | st.integers(-LARGEST, LARGEST)
    | st.floats(-1e9, 1e9).filter(lambda number: not number.is_integer())
    | st.sampled_from((*NAMES, "0", "-1", "1e999", "0x1", "9" * 40, "A" * 43 + "="))
    | st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=5)
)
payloads = st.recursive(
    scalars,
    lambda values: (
        st.lists(values, min_size=1, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES), values, min_size=1, max_size=6)
    ),
    max_leaves=12,
)
payments = st.builds(
    payment, st.sampled_from((AGENT, ME.address, STRANGER.address)), st.integers(1, LARGEST)
).map(lambda whole: whole["payload"])
anything = st.tuples(st.sampled_from(APPS), payloads)
contents = st.lists(anything | st.tuples(st.just("payment"), payments), min_size=1, max_size=4) | st.lists(
    anything | st.tuples(st.sampled_from(APPS_OF_KNOWN_SHAPE), payloads), min_size=1, max_size=2
)


def history_of(messages: list[dict[str, Any]], author: str, *, is_final: bool) -> History:
    """A verified history with one such unit of the author in it, signed or final."""
    ledger = SmallLedger([PROVIDER])
    make = ledger.add if is_final else ledger.compose
    unit = make(
        STRANGER, messages=messages, address=author, definitions={STRANGER.address: STRANGER.definition}
    )
    ledger.advance(12)
    return verify_history(ledger.history(unit), ledger.network)


@settings(max_examples=150)
@given(contents, st.sampled_from((STRANGER.address, AGENT)), st.booleans())
def test_units_of_any_content_are_read_without_failing(
    content: list[tuple[str, Any]], author: str, is_final: bool
) -> None:
    try:
        messages = [payment(AGENT, 20_000), *(message(app, payload) for app, payload in content)]
        history = history_of(messages, author, is_final=is_final)
    except (CanonicalError, ProofError):
        assume(False)
    book = CoinBook(ME.address)
    for entry in history.units:
        assert entry.addresses
        trigger = read_trigger(CHANNEL, entry.unit)
        assert trigger is None or 0 <= trigger.amount < 2**63, "the books hold no more"
        read_response(CHANNEL, entry.unit)
        defined_agents(entry.unit)
        book.take(entry)
    book.balances()
    transactions_of(ME.address, history)


@given(payloads)
def test_an_agents_answer_of_any_content_is_read_without_failing(payload: Any) -> None:
    told = {"event_id": 1, "period": 1, ME.address: 1, STRANGER.address: 1, "trigger_unit": "a"}
    for answer in (
        payload,
        *({**told, name: payload, "open": 1} for name in told),
        {**told, "closing": payload},
    ):
        unit = {
            "authors": [{"address": AGENT}],
            "timestamp": 1,
            "messages": [{"app": "data", "payload": answer}],
        }
        read_response(CHANNEL, unit)


def test_a_definition_that_is_no_object_defines_nothing() -> None:
    history = history_of(
        [payment(AGENT, 20_000), message("definition", [1])], STRANGER.address, is_final=False
    )
    [entry] = history.units
    trigger = read_trigger(CHANNEL, entry.unit)
    assert trigger is not None
    assert (trigger.kind, trigger.has_definition) == (TriggerKind.DEPOSIT, False)
    assert defined_agents(entry.unit) == []


def test_more_than_the_books_can_hold_counts_as_less() -> None:
    """Of outputs that a hub invents there may be many, each with as much as a unit can say."""
    flood = payment(AGENT, LARGEST)
    flood["payload"]["outputs"] *= 1_100
    history = history_of([message("payment", flood["payload"])], STRANGER.address, is_final=False)
    trigger = read_trigger(CHANNEL, history.units[0].unit)
    assert trigger is not None
    assert BOUNCE_FEE < trigger.amount < 2**63


@pytest.mark.parametrize("index", [LARGEST + 2, 10**20])
def test_an_index_that_no_ledger_can_reach_is_refused(index: int) -> None:
    ledger = SmallLedger([PROVIDER])
    ledger.advance(12)
    answer = ledger.history(ledger.units[1])
    answer["joints"][0]["unit"]["main_chain_index"] = index
    with pytest.raises(ProofError, match="main_chain_index is no integer"):
        verify_history(answer, ledger.network)
