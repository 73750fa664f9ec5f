"""Our node in recorded sessions of JavaScript nodes with a real hub: the same requests, units, states and balances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from paypercall.channel import Channel, Status
from paypercall.events import EventKind
from paypercall.obyte.amounts import BASE
from paypercall.obyte.coins import Balance
from paypercall.obyte.errors import HubRefused, ProofError
from paypercall.obyte.hub import Hub
from paypercall.obyte.light import LightClient
from paypercall.obyte.wallet import Wallet
from paypercall.store import OutboxState
from tests.parties import wait_until
from tests.replay.recorded_hub import RecordedHub
from tests.replay.recording import (
    CUSTOMER,
    HISTORY,
    NETWORK,
    PARENTS,
    POST,
    Line,
    merchant_key,
    payments_to,
    recording,
)
from tests.replay.session import Session, data_of

NAMES = ("client", "client-asset", "server")


@pytest.fixture(scope="module", params=NAMES)
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    played = Session(recording(request.param), tmp_path_factory.mktemp("session"))
    try:
        with pytest.MonkeyPatch.context() as patient:
            # A recorded client asked about all its addresses each time, and so knew no turns.
            patient.setattr("paypercall.settlement.watcher.TURN_SECONDS", 10**9)
            played.play()
        yield played
    finally:
        played.close()


# --- the same requests ---------------------------------------------------------------------------------


def ask_again(light: LightClient, request: Line) -> bool:
    """Has our client make a recorded request; tells whether it is one that ours can make at all."""
    params = request.content.get("params")
    if request.name == HISTORY:
        light.history(
            params.get("addresses", ()),
            requested_units=params.get("requested_joints", ()),
            known_stable_units=params.get("known_stable_units", ()),
            min_main_chain_index=params.get("min_mci"),
        )
    elif request.name == PARENTS:
        parents = light.parents(
            params["from_addresses"], params["output_addresses"], params["max_aa_responses"]
        )
        assert parents.tps_fee >= 0
    elif request.name == POST:
        light.post(params["unit"])
    return request.name in (HISTORY, PARENTS, POST)


@pytest.mark.parametrize("name", NAMES)
def test_each_request_is_made_to_the_letter_and_its_answer_is_believed(name: str) -> None:
    session = recording(name)
    key = merchant_key(session)
    hub = RecordedHub(session, is_strict=True, known_definitions={key.address: key.definition})
    light = LightClient(Hub(hub.url, NETWORK), NETWORK)
    try:
        asked = [request for request in session.requests() if ask_again(light, request)]
    finally:
        light.close()
        hub.close()
    assert hub.matched == asked
    assert hub.unrecorded == []


def test_the_one_history_that_does_not_hold_is_refused_and_believed_in_nothing() -> None:
    """The recorder took out a text that a payload hash covers."""
    session = recording("extra")
    hub = RecordedHub(session, is_strict=True)
    light = LightClient(Hub(hub.url, NETWORK), NETWORK)
    wallet = Wallet(CUSTOMER, light, max_tps_fee=0)
    bad_address, masked = session.requests(HISTORY)
    try:
        with pytest.raises(HubRefused, match="some addresses are not valid"):
            ask_again(light, bad_address)
        with pytest.raises(ProofError, match="wrong payload hash"):
            ask_again(light, masked)
        with pytest.raises(HubRefused, match="invalid version"):
            ask_again(light, session.requests(POST)[0])
    finally:
        light.close()
        hub.close()
    assert wallet.balance() == {BASE: Balance(0, 0)}


def test_we_introduce_ourselves_and_answer_the_hub_as_the_recorded_client_did(session: Session) -> None:
    lines = [line for line in session.recording.lines if line.is_from_client]
    [recorded] = [line.content["body"] for line in lines if line.name == "version"]
    [ours] = [content["body"] for _, content in session.hub.heard if content.get("subject") == "version"]
    assert ours.keys() == recorded.keys() - {"program_version"}
    for name in ("protocol_version", "alt", "library_version"):
        assert ours[name] == recorded[name]
    answers = [line.content for line in lines if line.kind == "response"]
    assert [content for kind, content in session.hub.heard if kind == "response"] == answers


def test_nothing_is_asked_that_the_hub_was_not_asked_in_the_recording(session: Session) -> None:
    assert session.hub.unrecorded == []


def test_every_hint_of_the_hub_is_heard(session: Session) -> None:
    hints = session.recording.pushes("light/have_updates", "joint")
    wait_until(lambda: len(session.news) == len(hints) + 1, "all hints, and that there is a connection")


# --- the same units ------------------------------------------------------------------------------------


def test_the_same_units_are_posted_in_the_same_order(session: Session) -> None:
    posts = session.recording.requests(POST)
    assert session.posted == [post.content["params"]["unit"] for post in posts]
    assert [line for line in session.hub.matched if line.name == POST] == posts
    with session.store.reading() as books:
        rows = [books.outbox.by_unit(unit["unit"]) for unit in session.posted]
    assert {row.state if row else None for row in rows} == {OutboxState.STABLE}


# --- the same channel ----------------------------------------------------------------------------------

State = dict[str, Any]


def answers_of_agent(session: Session, units: dict[str, Any]) -> list[tuple[str, State]]:
    """What the channel's agent said in some units, the oldest first: unit and data."""
    said = [
        (hash_, data)
        for hash_, unit in units.items()
        if unit["authors"][0]["address"] == session.parameters.aa_address
        for data in data_of(unit)
    ]
    return sorted(said, key=lambda each: int(each[1]["event_id"]))


def state_after(session: Session, said: list[tuple[str, State]]) -> State:
    """The state of the channel after some answers of its agent."""
    payee, customer = session.parameters.address_a, session.parameters.address_b
    state: State = {"status": "closed", "period": 1, "event": 0, "deposits": (0, 0), "owed": None}
    for _, data in said:
        state["event"] = data["event_id"]
        if data.get("open"):
            state.update(status="open", period=data["period"], deposits=(data[payee], data[customer]))
        elif data.get("closing"):
            state.update(status="closing", owed=(data[payee], data[customer]))
        else:
            state.update(status="closed", period=data["period"] + 1, deposits=(0, 0), owed=None)
    return state


def state_in_books(session: Session, channel: Channel) -> State:
    """The same, as our books have it."""
    deposits = (channel.deposited_by_me, channel.deposited_by_peer)
    close = channel.pending_close
    owed = (close.owed_by_me, close.owed_by_peer) if close else None
    if not channel.is_payee:
        deposits, owed = deposits[::-1], owed[::-1] if owed else None
    return {
        "status": channel.status.value,
        "period": channel.period,
        "event": channel.last_event_id,
        "deposits": deposits,
        "owed": owed,
    }


def test_after_each_history_the_books_have_the_state_that_is_proven_and_no_other(session: Session) -> None:
    states = []
    for seen in session.seen:
        answers = [
            session.recording.answer_to(request)
            for request in session.hub.matched[: seen.answers]
            if request.name == HISTORY
        ]
        said = answers_of_agent(session, session.recording.proven_units(answers))
        if seen.channel is None:
            assert said == []
            continue
        assert state_in_books(session, seen.channel) == state_after(session, said)
        states.append(seen.channel.status)
    assert set(states) == set(Status)


def test_the_host_is_told_of_each_answer_of_the_agent_once_and_in_order(session: Session) -> None:
    expected = []
    before = (0, 0)
    for unit, data in answers_of_agent(session, session.recording.proven_units()):
        period, amount = data["period"], 0
        kind = EventKind.CLOSING if data.get("closing") else EventKind.CLOSED
        if data.get("open"):
            kind = EventKind.DEPOSIT_CONFIRMED
            deposits = (data[session.parameters.address_a], data[session.parameters.address_b])
            amount, before = sum(deposits) - sum(before), deposits
        if kind is EventKind.CLOSED:
            before = (0, 0)
        expected.append((kind, period, amount, unit))
    told = [
        (event.kind, event.period, event.amount, event.unit)
        for event in session.events
        if event.aa_address == session.parameters.aa_address and event.kind is not EventKind.CHANNEL_CREATED
    ]
    assert told == expected
    assert Counter(kind for kind, *_ in told) == {
        EventKind.DEPOSIT_CONFIRMED: 3,
        EventKind.CLOSING: 2,
        EventKind.CLOSED: 2,
    }


def test_each_period_is_booked_with_what_the_recorded_sides_agreed_on(session: Session) -> None:
    said = answers_of_agent(session, session.recording.proven_units())
    closings = {data["period"]: data for _, data in said if data.get("closing")}
    payee, customer = session.parameters.address_a, session.parameters.address_b
    with session.store.reading() as books:
        periods = [
            record for record in books.periods.all() if record.aa_address == session.parameters.aa_address
        ]
    assert [record.period for record in periods] == [1, 2]
    for record in periods:
        mine, peers = (payee, customer) if session.is_merchant else (customer, payee)
        owed = closings[record.period]
        assert (record.signed_by_me, record.signed_by_peer) == (owed[mine], owed[peers])
        assert record.accepted_from_peer == owed[peers]
        assert not record.is_fraud_proven


def test_the_agents_state_that_a_third_client_was_told_is_that_in_our_books(session: Session) -> None:
    """Only the agent of the channel in bytes was asked about."""
    extra = recording("extra")
    channel = session.seen[-1].channel
    assert channel is not None
    ours = {"period": channel.period, "event_id": channel.last_event_id + 1}
    told = {
        question.content["params"]["address"]: extra.answer_to(question).content["response"]
        for question in extra.requests("light/get_aa_state_vars")
    }
    assert len(told) == 1
    assert told.get(session.parameters.aa_address, ours) == ours


def test_channels_from_before_these_books_are_found_and_not_used(session: Session) -> None:
    """The session in an asset shows two that the wallet had opened and closed earlier."""
    address = session.parameters.aa_address
    with session.store.reading() as books:
        records = [books.channels.get(found) for found in books.channels.addresses(session.wallet.address)]
    older = [record.channel for record in records if record and record.channel.aa_address != address]
    assert len(older) == (2 if session.recording.name == "client-asset" else 0)
    assert all(channel.is_distrusted for channel in older)
    current = session.seen[-1].channel
    assert current is not None
    assert not current.is_distrusted


# --- the same balances ---------------------------------------------------------------------------------


def unspent(session: Session, address: str) -> dict[str, Balance]:
    """What all proven units of a session leave an address, without any code of ours."""
    units = session.recording.proven_units()
    spent = {
        (source["unit"], source["message_index"], source["output_index"])
        for unit in units.values()
        for message in unit["messages"]
        if message["app"] == "payment"
        for source in message["payload"]["inputs"]
    }
    totals: Counter[str] = Counter({BASE: 0})
    for hash_, unit in units.items():
        for message_index, output_index, asset, amount in payments_to(unit, address):
            if (hash_, message_index, output_index) not in spent:
                totals[asset] += amount
    return {asset: Balance(amount, 0) for asset, amount in totals.items()}


def test_the_wallet_ends_with_what_the_recorded_units_leave_it(session: Session) -> None:
    assert session.wallet.balance() == unspent(session, session.wallet.address)
