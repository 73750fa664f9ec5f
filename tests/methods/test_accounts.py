"""The example third party by itself: each transfer moves once, and no balance is ever negative."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Thread

import pytest
import requests

from paypercall.transfer import sign_transfer
from tests.methods.third_party import balance, open_account, redeem, running_accounts, transfer


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_accounts(tmp_path_factory.mktemp("accounts")) as url:
        open_account(url, "merchant")
        yield url


def test_an_account_is_opened_once_for_one_key(accounts: str) -> None:
    key = open_account(accounts, "carol")
    open_account(accounts, "carol", key)
    assert balance(accounts, "carol") == 1_000
    body = {"username": "carol", "public_key": "A" * 44}
    assert requests.post(f"{accounts}/accounts", json=body, timeout=5).status_code == 409


@pytest.mark.parametrize("body", [None, [], {}, {"username": "x"}, {"username": 5, "public_key": "A" * 44}])
def test_an_account_without_name_or_key_is_not_opened(accounts: str, body: object) -> None:
    assert requests.post(f"{accounts}/accounts", json=body, timeout=5).status_code == 400


def test_a_redemption_that_is_repeated_moves_nothing_and_is_answered_alike(accounts: str) -> None:
    key = open_account(accounts, "dave")
    signed = sign_transfer(transfer(key, payer="dave"), key)
    before = balance(accounts, "merchant")
    answers = [redeem(accounts, "merchant", signed) for _ in range(3)]
    assert {(answer.status_code, answer.text) for answer in answers} == {(200, answers[0].text)}
    assert answers[0].json() == {"redeemed": signed.id, "amount": 100}
    assert (balance(accounts, "dave"), balance(accounts, "merchant")) == (900, before + 100)


def test_a_replay_is_refused_and_moves_nothing(accounts: str) -> None:
    key = open_account(accounts, "heidi")
    signed = sign_transfer(transfer(key, payer="heidi"), key)
    again = sign_transfer(signed.transfer, key)
    assert redeem(accounts, "merchant", signed).status_code == 200
    before = balance(accounts, "merchant")
    for replayed in (signed, again):
        answer = redeem(accounts, "merchant", replayed, '"second"')
        assert (answer.status_code, answer.json()["code"]) == (409, "already_redeemed")
    assert (balance(accounts, "heidi"), balance(accounts, "merchant")) == (900, before)


def test_a_redemption_that_was_refused_moves_nothing_any_more_but_another_one_may(accounts: str) -> None:
    payer, poor = open_account(accounts, "judy"), open_account(accounts, "mallory")
    signed = sign_transfer(transfer(poor, payer="mallory", amount=1_500), poor)
    refusal = redeem(accounts, "merchant", signed)
    assert (refusal.status_code, refusal.json()["code"]) == (402, "insufficient_funds")
    assert refusal.json()["refused"] == signed.id
    gift = sign_transfer(transfer(payer, payer="judy", payee_username="mallory", amount=500), payer)
    assert redeem(accounts, "mallory", gift).status_code == 200
    again = redeem(accounts, "merchant", signed)
    assert (again.status_code, again.text) == (402, refusal.text)
    assert balance(accounts, "mallory") == 1_500
    assert redeem(accounts, "merchant", signed, '"second"').status_code == 200
    assert redeem(accounts, "merchant", signed).text == refusal.text
    assert balance(accounts, "mallory") == 0


@pytest.mark.parametrize("key", ["", "x" * 101])
def test_a_redemption_without_a_key_that_tells_it_from_others_is_refused(accounts: str, key: str) -> None:
    before = balance(accounts, "merchant")
    payer = open_account(accounts, f"ivan{len(key)}")
    signed = sign_transfer(transfer(payer, payer=f"ivan{len(key)}"), payer)
    answer = redeem(accounts, "merchant", signed, key)
    assert (answer.status_code, answer.json()["code"]) == (400, "wrong_idempotency_key")
    assert balance(accounts, "merchant") == before


def test_of_transfers_at_once_only_those_are_moved_that_are_covered(accounts: str) -> None:
    key = open_account(accounts, "erin")
    transfers = [
        sign_transfer(transfer(key, payer="erin", amount=300, description=str(number)), key)
        for number in range(8)
    ]
    statuses: list[int] = []
    threads = [
        Thread(target=lambda s=signed: statuses.append(redeem(accounts, "merchant", s).status_code))
        for signed in transfers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 3 + [402] * 5
    assert balance(accounts, "erin") == 100


def test_a_transfer_is_redeemed_by_its_payee_from_its_payer_in_time_only(accounts: str) -> None:
    key, other = open_account(accounts, "frank"), open_account(accounts, "grace")
    now = int(time.time())
    assert redeem(accounts, "grace", sign_transfer(transfer(key, payer="frank"), key)).status_code == 403
    assert (
        redeem(accounts, "merchant", sign_transfer(transfer(other, payer="frank"), other)).status_code == 403
    )
    for payer, payee in (("nobody", "merchant"), ("frank", "nobody")):
        signed = sign_transfer(transfer(key, payer=payer, payee_username=payee), key)
        assert redeem(accounts, payee, signed).status_code == 404
    for timestamp in (now - 90_000, now + 3_600):
        late = sign_transfer(transfer(key, payer="frank", timestamp=timestamp), key)
        assert redeem(accounts, "merchant", late).status_code == 410
    assert balance(accounts, "frank") == 1_000


@pytest.mark.parametrize("body", [None, [], {}, {"bittransfer": 5}, {"bittransfer": "x", "signature": "y"}])
def test_what_is_no_transfer_is_refused(accounts: str, body: object) -> None:
    assert requests.post(f"{accounts}/accounts/merchant/transfers", json=body, timeout=5).status_code == 400
