"""What the hub tells without being asked, when, and to whom."""

from __future__ import annotations

from typing import Any

import pytest

from paypercall.devnet import Devnet
from paypercall.obyte.proof import verify_history
from tests.devnet.local_channel import (
    PAYEE,
    PAYER,
    STRANGER,
    channel,
    pay,
)
from tests.devnet.raw_client import RawClient
from tests.devnet.shapes import (
    paths,
    recorded_sayings,
)


def test_a_watcher_hears_of_a_unit_at_once_and_of_its_stability_later(
    client: RawClient, watcher: RawClient, net: Devnet
) -> None:
    net.fund(PAYER.address, 100_000)
    net.settle()
    watcher.say("light/new_address_to_watch", PAYEE.address)
    assert watcher.wait_for("info") == f"now watching {PAYEE.address}"
    watcher.hear_all()
    unit = client.post(PAYER, pay(PAYEE.address))
    assert watcher.hear_all() == [("joint", {"unit": unit})]
    for _ in range(3):
        net.step()
        assert watcher.hear_all() == []
    net.step()
    assert watcher.hear_all() == [("light/have_updates", None)]
    assert verify_history(watcher.history(addresses=[PAYEE.address]), net.network).units[0].is_stable


def test_the_sender_is_not_told_of_its_own_unit_but_of_its_stability(client: RawClient, net: Devnet) -> None:
    net.fund(PAYER.address, 100_000)
    net.settle()
    client.history(addresses=[PAYER.address])
    client.hear_all()
    client.post(PAYER, pay(PAYEE.address))
    assert client.hear_all() == []
    net.settle()
    assert client.hear_all() == [("light/have_updates", None)]


def test_asking_for_a_history_is_watching(client: RawClient, net: Devnet) -> None:
    client.history(addresses=[PAYER.address])
    client.hear_all()
    unit = net.fund(PAYER.address, 1000)
    ((subject, body),) = client.hear_all()
    assert subject == "joint"
    assert body["unit"]["unit"] == unit


def test_a_requested_unit_is_watched_until_it_is_stable(
    client: RawClient, watcher: RawClient, net: Devnet
) -> None:
    unit = net.fund(PAYER.address, 1000)
    watcher.history(requested_joints=[unit])
    watcher.hear_all()
    net.settle()
    assert watcher.hear_all() == [("light/have_updates", None)]
    net.fund(PAYER.address, 1000)
    net.settle()
    assert watcher.hear_all() == []


def test_a_watcher_of_an_agent_hears_of_requests_and_answers(
    busy: RawClient, watcher: RawClient, net: Devnet
) -> None:
    net.settle()
    watcher.say("light/new_aa_to_watch", {"aa": channel().aa_address})
    assert watcher.wait_for("info") == f"now watching AA {channel().aa_address} address all"
    watcher.hear_all()
    unit = busy.post(STRANGER, pay(channel().aa_address, 20_000, {"hello": 1}))
    assert watcher.hear_all() == [("light/aa_request", {"aa_address": channel().aa_address, "unit": unit})]
    net.settle()
    ((subject, body),) = watcher.hear_all()
    assert subject == "light/aa_response"
    assert paths({"subject": subject, "body": body}) - {".body.response.error.xpath: string"} == (
        recorded_sayings()[subject] - {".body.response.error.xpath: string"}
    )
    assert body["trigger_unit"] == unit["unit"]
    assert body["bounced"] is True


def test_a_watcher_of_one_party_of_an_agent_hears_of_that_party_only(
    busy: RawClient, watcher: RawClient, net: Devnet
) -> None:
    net.settle()
    watcher.say("light/new_aa_to_watch", {"aa": channel().aa_address, "address": PAYER.address})
    watcher.wait_for("info")
    watcher.hear_all()
    busy.post(STRANGER, pay(channel().aa_address, 20_000))
    net.settle()
    assert watcher.hear_all() == []
    busy.post(PAYER, pay(channel().aa_address, 20_000))
    net.settle()
    assert [subject for subject, _ in watcher.hear_all()] == ["light/aa_request", "light/aa_response"]


def test_a_watcher_of_an_address_hears_at_once_that_an_agent_answered(
    busy: RawClient, watcher: RawClient, net: Devnet
) -> None:
    net.settle()
    watcher.say("light/new_address_to_watch", channel().aa_address)
    watcher.hear_all()
    busy.post(STRANGER, pay(channel().aa_address, 20_000))
    net.step()
    assert [subject for subject, _ in watcher.hear_all()] == ["joint"]
    net.step()
    assert watcher.hear_all() == [("light/have_updates", None)]


def test_an_answer_is_hinted_at_once_for_each_watched_address(
    busy: RawClient, watcher: RawClient, net: Devnet
) -> None:
    net.settle()
    watcher.history(addresses=[channel().aa_address, STRANGER.address, PAYEE.address])
    watcher.hear_all()
    busy.post(STRANGER, pay(channel().aa_address, 20_000))
    net.step()
    net.step()
    heard = [subject for subject, _ in watcher.hear_all()]
    assert heard == ["joint", "light/have_updates", "light/have_updates"]


def test_an_answer_without_a_unit_says_so(busy: RawClient, watcher: RawClient, net: Devnet) -> None:
    net.settle()
    watcher.say("light/new_aa_to_watch", {"aa": channel().aa_address})
    watcher.wait_for("info")
    watcher.hear_all()
    busy.post(STRANGER, pay(channel().aa_address, 10_000, {"hello": 1}))
    net.settle()
    body = watcher.wait_for("light/aa_response")
    assert body["bounced"] is True
    assert body["response_unit"] is body["objResponseUnit"] is None
    row = busy.request("light/get_aa_responses", {"aa": channel().aa_address})[0]
    assert row["response_unit"] is None
    assert "objResponseUnit" not in row
    history = busy.history(addresses=[STRANGER.address])
    assert "response_unit" not in history["aa_responses"][-1]
    assert len(verify_history(history, net.network).bounces) == 2


def test_an_accepted_answer_tells_what_changed_in_the_state(
    busy: RawClient, watcher: RawClient, net: Devnet
) -> None:
    net.settle()
    watcher.say("light/new_aa_to_watch", {"aa": channel().aa_address})
    watcher.wait_for("info")
    net.advance(600)
    busy.post(PAYER, pay(channel().aa_address, 10_000, {"confirm": 1, "period": 1}))
    net.settle()
    body = watcher.wait_for("light/aa_response")
    changes = body["updatedStateVars"][channel().aa_address]
    assert changes["period"] == {"value": 2, "old_value": 1, "delta": 1}
    assert changes["balanceB"] == {"value": False, "old_value": 100_000}


@pytest.mark.parametrize(
    ("subject", "body", "error"),
    [
        ("light/new_address_to_watch", "X", "address not valid"),
        ("light/new_aa_to_watch", {"aa": "X"}, "invalid AA"),
        ("light/new_aa_to_watch", {"aa": PAYER.address, "address": "X"}, "invalid address"),
        ("light/new_aa_to_watch", {"aa": PAYER.address}, f"not an AA: {PAYER.address}"),
    ],
)
def test_only_what_exists_can_be_watched(client: RawClient, subject: str, body: Any, error: str) -> None:
    client.say(subject, body)
    assert client.wait_for("error") == error


def test_both_sides_of_a_double_spend_vanish_and_one_comes_back(
    client: RawClient, watcher: RawClient, net: Devnet
) -> None:
    net.fund(PAYER.address, 100_000)
    net.settle()
    first, second = (client.compose(PAYER, pay(to.address, 5000)) for to in (PAYEE, STRANGER))
    watcher.history(addresses=[PAYEE.address])
    assert client.request("post_joint", {"unit": first}) == "accepted"
    refusal = "The transaction would be non-serial (a double spend)"
    assert client.request("post_joint", {"unit": second}) == {"error": refusal}
    assert watcher.history(addresses=[PAYEE.address])["joints"][0]["unit"]["unit"] == first["unit"]
    watcher.hear_all()
    client.say("joint", {"unit": second})
    assert client.wait_for("result") == {"unit": second["unit"], "result": "accepted"}
    assert watcher.hear_all() == [("light/sequence_became_bad", [first["unit"]])]
    assert watcher.history(addresses=[PAYEE.address]) == {}
    assert watcher.history(requested_joints=[first["unit"], second["unit"]]) == {}
    net.favour(second["unit"])
    net.settle()
    assert net.sequence(first["unit"]) == "final-bad"
    assert net.sequence(second["unit"]) == "good"
    answer = client.history(requested_joints=[first["unit"], second["unit"]])
    verdicts = {unit.hash: unit for unit in verify_history(answer, net.network).units}
    assert verdicts[first["unit"]].is_final_bad
    assert verdicts[first["unit"]].is_stable
    assert not verdicts[second["unit"]].is_final_bad
    assert client.history(addresses=[PAYEE.address]) == {}
