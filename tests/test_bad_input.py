"""Bad input to real parties on a real local network: one clear error, a stable code, and books that stay as they are.

The parties of a module are shared; every test proves that it has left their books untouched.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paypercall.channel import Status
from paypercall.client import Client
from paypercall.contract import ChannelParameters
from paypercall.costs import SWEEPING_COST
from paypercall.devnet import Devnet
from paypercall.errors import PaypercallError, Refusal
from paypercall.obyte.composer import Draft, Output
from paypercall.obyte.keys import Key, key_from_mnemonic
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.package import compose_package, hash_to_sign
from paypercall.party import Party, Payment
from paypercall.server import Server
from paypercall.settlement.discovery import MAX_ANNOUNCED, MAX_ANNOUNCED_BY_CUSTOMER
from paypercall.store.upgrade import VERSION_TABLE
from tests.books import announced, dump, untouched
from tests.devnet.raw_client import RawClient
from tests.parties import conf_for, customer_on, wait_until, wallet_on

DEPOSIT = 100_000
GROUP_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

Package = dict[str, Any]
Change = Callable[[Package], object]


# --- books -----------------------------------------------------------------------------------------------------------


def assert_refused(payment: Payment, code: str) -> None:
    assert payment.code == code, payment
    assert payment.error is not None
    assert 10 < len(payment.error) < 250, payment.error
    assert payment.error.isprintable() and payment.error[0].islower()
    assert (payment.amount, payment.payment_id) == (0, None)


# --- one network for all ---------------------------------------------------------------------------------------------


class Scene:
    """A merchant with an open channel, its customer, and someone who signs whatever is asked for in its name."""

    def __init__(self, net: Devnet, folder: Path) -> None:
        self.net = net
        self.folder = folder / "merchant"
        self.customer_folder = folder / "customer"
        self.merchant = Server(
            wallet=wallet_on(net),
            conf=conf_for(net, self.folder, max_channel_timeout_in_seconds=7200),
            ledger_timeout=0,
        )
        self.customer = customer_on(net, self.customer_folder, self.merchant.address, deposit_amount=DEPOSIT)
        self.key = self.customer.wallet.key
        self.merchant.start_node()
        self.customer.start_node()

    def close(self) -> None:
        for party in (self.merchant, self.customer):
            party.close_node()
            party.wallet.close()

    def open_channel(self) -> None:
        """Opens the channel and pays 10,000 and 5,000 of a total of 20,000: a package in between gets lost."""
        first = self.customer.create_payment_package(10_000)
        wait_until(lambda: self.merchant.verify_payment_package(first).error is None, "the deposit is seen")
        wait_until(
            lambda: (
                self.customer.balance().status is Status.OPEN
                and [channel.status for channel in self.merchant.channels()] == [Status.OPEN]
            ),
            "both see the channel open",
        )
        self.customer.create_payment_package(5_000)
        self.last_package = self.customer.create_payment_package(5_000)
        assert self.merchant.verify_payment_package(self.last_package).error is None
        self.refund = self.merchant.create_payment_package(100, self.customer.aa_address)
        assert self.customer.verify_payment_package(self.refund).error is None

    @property
    def parameters(self) -> ChannelParameters:
        with self.customer._store.reading() as books:
            record = books.channels.get(self.customer.aa_address)
        assert record is not None
        return record.channel.parameters

    def package(
        self,
        amount_spent: int,
        payment_amount: int,
        *,
        period: int = 1,
        key: Key | None = None,
        parameters: ChannelParameters | None = None,
        announce: bool = False,
    ) -> Package:
        """A good package, as far as the arguments let it be one; no books know of it."""
        parameters = parameters or self.parameters
        return compose_package(
            key or self.key,
            self.net.network.version,
            aa_address=parameters.aa_address,
            period=period,
            payment_amount=payment_amount,
            amount_spent=amount_spent,
            announce=parameters if announce else None,
        )

    def next_package(self, **changes: Any) -> Package:
        """The package that an honest customer would send next."""
        return self.package(25_000, 5_000, **changes)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Devnet(speed=50) as net:
        scene = Scene(net, tmp_path_factory.mktemp("bad_input"))
        try:
            scene.open_channel()
            yield scene
        finally:
            scene.close()


@pytest.fixture(params=["merchant", "customer"])
def side(request: pytest.FixtureRequest, scene: Scene) -> tuple[Party, Path, Key]:
    """Whoever verifies, where its books are, and whose packages it takes."""
    if request.param == "merchant":
        return scene.merchant, scene.folder, scene.key
    return scene.customer, scene.customer_folder, scene.merchant.wallet.key


def resigned(package: Package, key: Key) -> Package:
    """Signs a changed package again, unless it is the signature that was taken out."""
    if "r" in package["authors"][0]["authentifiers"]:
        package["authors"][0]["authentifiers"]["r"] = key.sign(hash_to_sign(package))
    return package


def changed(package: Package, change: Change) -> Package:
    package = deepcopy(package)
    change(package)
    return package


# --- no package at all -----------------------------------------------------------------------------------------------

NO_PACKAGES: dict[str, tuple[object, str]] = {
    "empty text": ("", "not_json"),
    "empty bytes": (b"", "not_json"),
    "half an object": ('{"version":', "not_json"),
    "words": ("give me credit", "not_json"),
    "no utf-8": (b"\xff\xfe{}", "not_json"),
    "a surrogate in bytes": (b'"\xed\xa0\x80"', "not_json"),
    "a nul byte": ("\0", "not_json"),
    "a lone surrogate": ("\ud800", "not_json"),
    "a field twice": ('{"version": 1, "version": 2}', "not_json"),
    "null": ("null", "wrong_shape"),
    "a number": ("40000", "wrong_shape"),
    "not a number": ("NaN", "wrong_shape"),
    "a text": ('"package"', "wrong_shape"),
    "a list": (b"[{}]", "wrong_shape"),
    "an empty object": ("{}", "wrong_shape"),
    "none": (None, "wrong_shape"),
    "a python number": (40_000, "wrong_shape"),
    "a python list": ([{}], "wrong_shape"),
    "an object": (object(), "wrong_shape"),
    "a dict without texts as names": ({1: 2, None: 3}, "wrong_shape"),
    "nested lists": ("[" * 300 + "]" * 300, "wrong_shape"),
    "nested objects": ('{"a":' * 300 + "1" + "}" * 300, "wrong_shape"),
    "nested without end": ("[" * 2_000, "not_json"),
    "nested and long": ("[" * 100_000, "too_large"),
    "10 MB of text": ("x" * 10_000_000, "too_large"),
    "10 MB of bytes": (b" " * 10_000_000, "too_large"),
    "10 MB that would be JSON": ('{"version":"' + "4" * 10_000_000 + '"}', "too_large"),
}


@pytest.mark.parametrize("name", NO_PACKAGES)
def test_what_is_no_package_is_refused(side: tuple[Party, Path, Key], name: str) -> None:
    party, folder, _ = side
    source, code = NO_PACKAGES[name]
    with untouched(folder):
        assert_refused(party.verify_payment_package(source), code)


# --- packages with something wrong in them ---------------------------------------------------------------------------


def in_message(**fields: Any) -> Change:
    return lambda package: package["signed_message"].update(fields)


def in_author(**fields: Any) -> Change:
    return lambda package: package["authors"][0].update(fields)


def in_parameters(**fields: Any) -> Change:
    return lambda package: package["signed_message"]["channel_parameters"].update(fields)


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def endless() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["signed_message"] = value
    return value


WRONG_NUMBERS = [0, -1, -40_000, 1.0, 40_000.5, 2**53 + 1, 10**15, 10**400, True, None, "40000", "", [], {}]

CHANGES: dict[str, tuple[Change, str]] = {
    **{
        f"without {name}": (lambda p, n=name: p.pop(n), "wrong_shape")
        for name in ("version", "signed_message", "authors")
    },
    **{
        f"message without {name}": (lambda p, n=name: p["signed_message"].pop(n), "wrong_shape")
        for name in ("payment_amount", "amount_spent", "period", "aa_address")
    },
    **{
        f"author without {name}": (lambda p, n=name: p["authors"][0].pop(n), "wrong_shape")
        for name in ("address", "authentifiers", "definition")
    },
    "a field more": (lambda p: p.update(timestamp=1), "wrong_shape"),
    "a last ball": (lambda p: p.update(last_ball_unit="x" * 44), "wrong_shape"),
    "a message field more": (in_message(memo="thanks"), "wrong_shape"),
    "an author field more": (in_author(memo="thanks"), "wrong_shape"),
    "a field with an odd name": (lambda p: p.update({"\ud800\0": 1}), "wrong_shape"),
    "no message": (lambda p: p.update(signed_message=None), "wrong_shape"),
    "a message of text": (lambda p: p.update(signed_message="40000"), "wrong_shape"),
    "a deep message": (lambda p: p.update(signed_message=nested(900)), "wrong_shape"),
    "a very deep message": (lambda p: p.update(signed_message=nested(50_000)), "wrong_shape"),
    "an endless message": (lambda p: p.update(signed_message=endless()), "wrong_shape"),
    "deep authors": (lambda p: p.update(authors=nested(900)), "wrong_shape"),
    "a deep definition": (in_author(definition=["sig", nested(900)]), "wrong_shape"),
    "a very deep key": (in_author(definition=["sig", {"pubkey": nested(50_000)}]), "wrong_shape"),
    "no authors": (lambda p: p.update(authors=[]), "wrong_shape"),
    "two authors": (lambda p: p.update(authors=p["authors"] * 2), "wrong_shape"),
    **{
        f"{name} {value!r:.30}": (in_message(**{name: value}), "wrong_amount")
        for name in ("payment_amount", "amount_spent", "period")
        for value in WRONG_NUMBERS
    },
    "a payment above the total": (in_message(payment_amount=25_001), "wrong_amount"),
    "livenet": (lambda p: p.update(version="4.0"), "wrong_version"),
    "testnet": (lambda p: p.update(version="4.0t"), "wrong_version"),
    "an older version": (lambda p: p.update(version="3.0dev"), "wrong_version"),
    "a version that is a number": (lambda p: p.update(version=4.0), "wrong_version"),
    "a version with a nul byte": (lambda p: p.update(version="4.0dev\0"), "wrong_version"),
    **{
        f"channel {value!r:.30}": (in_message(aa_address=value), "wrong_shape")
        for value in ("", "x", "A" * 32, None, 5, ["x"], "\ud800" * 32, "\0" * 32, "x" * 10_000_000)
    },
    "no signature": (in_author(authentifiers={}), "wrong_shape"),
    "a signature of null": (in_author(authentifiers={"r": None}), "wrong_signature"),
    "an empty signature": (in_author(authentifiers={"r": ""}), "wrong_signature"),
    "a signature of zeros": (
        in_author(authentifiers={"r": base64.b64encode(bytes(64)).decode()}),
        "wrong_signature",
    ),
    "a signature of 10 MB": (in_author(authentifiers={"r": "A" * 10_000_000}), "wrong_signature"),
    "a signature with a nul byte": (
        lambda p: p["authors"][0]["authentifiers"].update(r="\0" + p["authors"][0]["authentifiers"]["r"][1:]),
        "wrong_signature",
    ),
    "a malleable signature": (
        lambda p: p["authors"][0]["authentifiers"].update(
            r=with_high_s(p["authors"][0]["authentifiers"]["r"])
        ),
        "wrong_signature",
    ),
    "an address that is not the key's": (in_author(address="A" * 32), "wrong_signer"),
    "an address of null": (in_author(address=None), "wrong_signer"),
    "a surrogate for an address": (in_author(address="\ud800"), "wrong_signer"),
}
"""Signed again after the change where that is possible, so that it is the change that is refused."""


def with_high_s(signature: str) -> str:
    raw = base64.b64decode(signature)
    mirrored = GROUP_ORDER - int.from_bytes(raw[32:], "big")
    return base64.b64encode(raw[:32] + mirrored.to_bytes(32, "big")).decode()


@pytest.mark.parametrize("name", CHANGES)
def test_a_package_with_something_wrong_in_it_is_refused(
    side: tuple[Party, Path, Key], scene: Scene, name: str
) -> None:
    party, folder, key = side
    change, code = CHANGES[name]
    package = changed(scene.next_package(key=key), change)
    if code not in ("wrong_signature", "wrong_signer"):
        package = resigned_if_possible(package, key)
    with untouched(folder):
        assert_refused(party.verify_payment_package(package), code)


def resigned_if_possible(package: Package, key: Key) -> Package:
    try:
        return resigned(package, key)
    except (
        PaypercallError,
        ArithmeticError,
        LookupError,
        TypeError,
        AttributeError,
        ValueError,
        RecursionError,
    ):
        return package


@pytest.mark.parametrize(
    "literal", ["4e4", "40000.0", "4.0e4", "-40000", "0", "1e999", "NaN", "9007199254740993", '"1"']
)
def test_numbers_in_other_spellings_are_refused(
    side: tuple[Party, Path, Key], scene: Scene, literal: str
) -> None:
    party, folder, key = side
    text = json.dumps(scene.next_package(key=key))
    assert '"amount_spent": 25000' in text
    with untouched(folder):
        payment = party.verify_payment_package(
            text.replace('"amount_spent": 25000', f'"amount_spent": {literal}')
        )
        assert_refused(payment, "wrong_amount")


@pytest.mark.parametrize("field", ["payment_amount", "amount_spent", "period"])
def test_a_signature_over_other_words_is_refused(
    side: tuple[Party, Path, Key], scene: Scene, field: str
) -> None:
    party, folder, key = side
    package = scene.next_package(key=key)
    package["signed_message"][field] += 1 if field != "payment_amount" else -1
    with untouched(folder):
        assert_refused(party.verify_payment_package(package), "wrong_signature")


def test_a_key_that_is_not_the_addresss_is_refused(side: tuple[Party, Path, Key], scene: Scene) -> None:
    party, folder, key = side
    stranger = new_key()
    package = scene.next_package(key=key)
    package["authors"][0]["definition"] = stranger.definition
    with untouched(folder):
        assert_refused(party.verify_payment_package(resigned(package, stranger)), "wrong_signer")


def test_a_package_that_somebody_else_signed_is_refused(side: tuple[Party, Path, Key], scene: Scene) -> None:
    party, folder, _ = side
    own_key = party.wallet.key
    with untouched(folder):
        for key in (new_key(), own_key):
            assert_refused(party.verify_payment_package(scene.next_package(key=key)), "wrong_signer")


def new_key() -> Key:
    return key_from_mnemonic(new_mnemonic())


# --- packages at the wrong time --------------------------------------------------------------------------------------


def test_a_package_of_another_period_is_refused(side: tuple[Party, Path, Key], scene: Scene) -> None:
    party, folder, key = side
    with untouched(folder):
        for period in (2, 3, 999_999_999_999_999):
            payment = party.verify_payment_package(scene.next_package(key=key, period=period))
            assert_refused(payment, "wrong_period")


def test_a_repeated_package_is_not_charged_again(side: tuple[Party, Path, Key], scene: Scene) -> None:
    party, folder, _ = side
    package = scene.last_package if party is scene.merchant else scene.refund
    with untouched(folder):
        for _ in range(3):
            payment = party.verify_payment_package(json.dumps(package))
            assert_refused(payment, "duplicate")
            assert payment.first is not None
            assert payment.first.amount == package["signed_message"]["payment_amount"]
            assert payment.first.error is None


def test_another_package_with_a_total_that_was_accepted_is_refused(scene: Scene) -> None:
    with untouched(scene.folder):
        payment = scene.merchant.verify_payment_package(scene.package(20_000, 4_999))
        assert_refused(payment, "conflicting_package")


def test_an_overtaken_package_that_asks_for_more_than_the_credit_is_refused(scene: Scene) -> None:
    """5,000 of the total of 20,000 are not used: the package over 15,000 that got lost."""
    with untouched(scene.folder):
        assert_refused(scene.merchant.verify_payment_package(scene.package(15_000, 5_001)), "no_credit")


def test_an_older_package_is_refused_when_there_is_no_credit_left(scene: Scene) -> None:
    refund_key = scene.merchant.wallet.key
    with untouched(scene.customer_folder):
        older = scene.package(99, 99, key=refund_key)
        assert_refused(scene.customer.verify_payment_package(older), "no_credit")


def test_a_payment_above_what_was_signed_is_refused(scene: Scene) -> None:
    with untouched(scene.folder):
        greedy = scene.package(25_000, 10_001)
        assert_refused(scene.merchant.verify_payment_package(greedy), "no_credit")


@pytest.mark.parametrize("amount_spent", [DEPOSIT + 101, 10**9, 999_999_999_999_999])
def test_a_total_above_the_deposit_is_refused(scene: Scene, amount_spent: int) -> None:
    """The merchant has paid back 100, which the customer can spend once more."""
    with untouched(scene.folder):
        payment = scene.merchant.verify_payment_package(scene.package(amount_spent, 1))
        assert_refused(payment, "above_deposit")


def test_a_refund_above_what_the_merchant_was_paid_is_refused(scene: Scene) -> None:
    with untouched(scene.customer_folder):
        refund = scene.package(10**6, 1, key=scene.merchant.wallet.key)
        assert_refused(scene.customer.verify_payment_package(refund), "above_deposit")


def test_an_asset_or_an_amount_that_the_host_does_not_want_is_refused(scene: Scene) -> None:
    package = scene.next_package()
    with untouched(scene.folder):
        other_asset = scene.merchant.verify_payment_package(package, asset="A" * 43 + "=")
        assert_refused(other_asset, "wrong_asset")
        assert_refused(scene.merchant.verify_payment_package(package, min_amount=5_001), "underpaid")


# --- channels that are announced -------------------------------------------------------------------------------------


def announcing(scene: Scene, **changes: Any) -> Package:
    """The first package in a new channel of a stranger, whose agent the ledger does not show."""
    key = changes.pop("key", None) or new_key()
    given = {
        "address_a": scene.merchant.address,
        "address_b": key.address,
        "asset": "base",
        "salt": "salt",
        "timeout": 3600,
        **changes,
    }
    return scene.package(5_000, 5_000, key=key, parameters=ChannelParameters(**given), announce=True)


def test_an_unknown_channel_without_parameters_is_refused(
    side: tuple[Party, Path, Key], scene: Scene
) -> None:
    party, folder, _ = side
    package = announcing(scene)
    del package["signed_message"]["channel_parameters"]
    key = new_key()
    package["authors"][0].update(address=key.address, definition=key.definition)
    before = announced(folder)
    with untouched(folder):
        assert_refused(party.verify_payment_package(resigned(package, key)), "unknown_channel")
    assert announced(folder) == before


def test_an_announced_channel_that_the_ledger_does_not_show_is_only_watched(scene: Scene) -> None:
    before = announced(scene.folder)
    with untouched(scene.folder):
        assert_refused(scene.merchant.verify_payment_package(announcing(scene)), "unknown_channel")
    assert announced(scene.folder) == before + 1


def test_of_one_customers_announcements_a_few_are_watched(scene: Scene) -> None:
    key, before = new_key(), announced(scene.folder)
    for number in range(MAX_ANNOUNCED_BY_CUSTOMER + 2):
        package = announcing(scene, key=key, salt=f"salt {number}")
        assert_refused(scene.merchant.verify_payment_package(package), "unknown_channel")
    assert announced(scene.folder) == before + MAX_ANNOUNCED_BY_CUSTOMER


def test_a_newcomer_is_watched_however_many_have_announced_before(scene: Scene) -> None:
    store, now = scene.merchant._store, scene.merchant._node.now()
    strangers = (replace(scene.parameters, address_b=f"{number:032d}") for number in range(MAX_ANNOUNCED))
    with store.transaction() as books:
        for stranger in strangers:
            books.announced.add(stranger, now - 1, limit=MAX_ANNOUNCED, limit_by_customer=1)
    package = announcing(scene)
    assert_refused(scene.merchant.verify_payment_package(package), "unknown_channel")
    assert announced(scene.folder) == MAX_ANNOUNCED
    with store.transaction() as books:
        watched = {parameters.aa_address for parameters in books.announced.all()}
        books.announced.expire(now + 1_000)
    assert package["signed_message"]["aa_address"] in watched


def test_a_customer_watches_no_channel_that_is_announced_to_it(scene: Scene) -> None:
    with untouched(scene.customer_folder):
        assert_refused(scene.customer.verify_payment_package(announcing(scene)), "unknown_channel")
    assert announced(scene.customer_folder) == 0


ANNOUNCEMENTS: dict[str, tuple[Callable[[Scene], Package], str]] = {
    "another payee": (lambda s: announcing(s, address_a=s.customer.address), "wrong_parameters"),
    "another salt": (lambda s: with_parameters(s, salt="pepper"), "wrong_parameters"),
    "another timeout": (lambda s: with_parameters(s, timeout=3601), "wrong_parameters"),
    "too short a timeout": (lambda s: announcing(s, timeout=59), "wrong_timeout"),
    "too long a timeout": (lambda s: announcing(s, timeout=7201), "wrong_timeout"),
    "a timeout of zero": (lambda s: announcing(s, timeout=0), "wrong_shape"),
    "a negative timeout": (lambda s: announcing(s, timeout=-3600), "wrong_shape"),
    "a timeout of text": (lambda s: with_parameters(s, timeout="3600"), "wrong_shape"),
    "a timeout that is true": (lambda s: with_parameters(s, timeout=True), "wrong_shape"),
    "itself as the customer": (lambda s: with_itself(s), "wrong_parameters"),
    "an unknown agent": (lambda s: with_parameters(s, version="1.2"), "wrong_agent_version"),
    "no agent": (lambda s: with_parameters(s, version=""), "wrong_shape"),
    "an asset that is not accepted": (lambda s: announcing(s, asset="A" * 43 + "="), "wrong_asset"),
    "an asset that is none": (lambda s: with_parameters(s, asset="gold"), "wrong_parameters"),
    "another signer": (lambda s: with_parameters(s, address=new_key().address), "wrong_signer"),
    "a customer that is none": (lambda s: with_parameters(s, address="me"), "wrong_parameters"),
    "no salt": (lambda s: announcing(s, salt=""), "wrong_shape"),
    "too long a salt": (lambda s: announcing(s, salt="s" * 51), "wrong_shape"),
    "10 MB of salt": (lambda s: with_parameters(s, salt="s" * 10_000_000), "wrong_shape"),
    "a salt with a nul byte": (lambda s: announcing(s, salt="salt\0"), "wrong_shape"),
    "a salt with a lone surrogate": (lambda s: announcing(s, salt="\ud83d"), "wrong_shape"),
    "a salt beyond ascii": (lambda s: announcing(s, salt="sel marin é"), "wrong_shape"),
    "a salt that is a number": (lambda s: with_parameters(s, salt=5), "wrong_shape"),
    "a parameter less": (lambda s: with_parameters(s, without="salt"), "wrong_shape"),
    "a parameter more": (lambda s: with_parameters(s, fee=1), "wrong_shape"),
    "no parameters": (lambda s: announcing_only(s, None), "wrong_shape"),
    "nested parameters": (lambda s: announcing_only(s, nested(900)), "wrong_shape"),
}


def with_parameters(scene: Scene, without: str | None = None, **fields: Any) -> Package:
    """Changes the announcement after the address was made of it, and signs again."""
    key = new_key()
    package = announcing(scene, key=key)
    in_parameters(**fields)(package)
    package["signed_message"]["channel_parameters"].pop(without, None)
    return resigned_if_possible(package, key)


def with_itself(scene: Scene) -> Package:
    key = scene.merchant.wallet.key
    return announcing(scene, address_a=scene.customer.address, key=key)


def announcing_only(scene: Scene, parameters: object) -> Package:
    key = new_key()
    package = announcing(scene, key=key)
    package["signed_message"]["channel_parameters"] = parameters
    return resigned_if_possible(package, key)


@pytest.mark.parametrize("name", ANNOUNCEMENTS)
def test_an_announcement_with_something_wrong_in_it_is_refused_and_not_watched(
    scene: Scene, name: str
) -> None:
    make, code = ANNOUNCEMENTS[name]
    before = announced(scene.folder)
    with untouched(scene.folder):
        assert_refused(scene.merchant.verify_payment_package(make(scene)), code)
    assert announced(scene.folder) == before


@pytest.mark.parametrize(
    "field, value",
    [("salt", "pepper"), ("timeout", 3601), ("asset", "A" * 43 + "="), ("address", None), ("version", "1.2")],
)
def test_parameters_that_differ_from_the_stored_channels_are_refused(
    scene: Scene, field: str, value: object
) -> None:
    package = scene.next_package(announce=True)
    in_parameters(**{field: value or scene.merchant.address})(package)
    codes = {"version": "wrong_agent_version"}
    with untouched(scene.folder):
        payment = scene.merchant.verify_payment_package(resigned(package, scene.key))
        assert_refused(payment, codes.get(field, "wrong_parameters"))


# --- channels that cannot take the payment now -----------------------------------------------------------------------


@contextmanager
def held(net: Devnet) -> Iterator[None]:
    """Nothing becomes stable meanwhile."""
    net.hold()
    try:
        yield
    finally:
        net.release()


@contextmanager
def merchant_with(scene: Scene, folder: Path, **limits: int) -> Iterator[Server]:
    """Another merchant, with other limits on unconfirmed deposits in bytes."""
    given = {
        "max_unconfirmed_by_asset": 1_000_000,
        "max_unconfirmed_by_channel": 500_000,
        "minimum_time_in_seconds": 0,
        **limits,
    }
    settings = {"unconfirmed_amounts_limits_by_asset_or_channel": {"base": given}}
    wallet = wallet_on(scene.net)
    with Server(wallet=wallet, conf=conf_for(scene.net, folder, **settings), ledger_timeout=0) as merchant:
        yield merchant
    wallet.close()


@contextmanager
def customer_with(scene: Scene, folder: Path, merchant: Server, **settings: Any) -> Iterator[Client]:
    with customer_on(scene.net, folder, merchant.address, deposit_amount=DEPOSIT, **settings) as customer:
        yield customer
    customer.wallet.close()


def wait_for_code(merchant: Server, package: Package, code: str | None) -> Payment:
    payment = Payment()

    def has_code() -> bool:
        nonlocal payment
        payment = merchant.verify_payment_package(package)
        return payment.code == code

    wait_until(has_code, f"the package gets the code {code}")
    return payment


def test_a_deposit_that_is_too_young_pays_for_nothing(scene: Scene, tmp_path: Path) -> None:
    with (
        merchant_with(scene, tmp_path / "merchant", minimum_time_in_seconds=1800) as merchant,
        customer_with(scene, tmp_path / "customer", merchant) as customer,
        held(scene.net),
    ):
        package = customer.create_payment_package(1_000)
        wait_for_code(merchant, package, "deposit_too_young")
        with untouched(tmp_path / "merchant"):
            assert_refused(merchant.verify_payment_package(package), "deposit_too_young")


def test_a_payment_above_the_limit_on_a_channels_unconfirmed_deposits_is_refused(
    scene: Scene, tmp_path: Path
) -> None:
    with (
        merchant_with(scene, tmp_path / "merchant", max_unconfirmed_by_channel=30_000) as merchant,
        customer_with(scene, tmp_path / "customer", merchant) as customer,
        held(scene.net),
    ):
        wait_for_code(merchant, customer.create_payment_package(30_000), None)
        package = customer.create_payment_package(1)
        with untouched(tmp_path / "merchant"):
            assert_refused(merchant.verify_payment_package(package), "above_unconfirmed_limits")


def test_a_payment_above_the_limit_on_all_unconfirmed_deposits_is_refused(
    scene: Scene, tmp_path: Path
) -> None:
    limits = {"max_unconfirmed_by_asset": 50_000, "max_unconfirmed_by_channel": 40_000}
    with (
        merchant_with(scene, tmp_path / "merchant", **limits) as merchant,
        customer_with(scene, tmp_path / "one", merchant) as one,
        customer_with(scene, tmp_path / "two", merchant) as two,
        held(scene.net),
    ):
        wait_for_code(merchant, one.create_payment_package(30_000), None)
        wait_for_code(merchant, two.create_payment_package(20_000), None)
        package = two.create_payment_package(1)
        with untouched(tmp_path / "merchant"):
            assert_refused(merchant.verify_payment_package(package), "above_unconfirmed_limits")


def test_without_a_limit_in_the_conf_no_unconfirmed_deposit_pays_for_anything(
    scene: Scene, tmp_path: Path
) -> None:
    limits = {"max_unconfirmed_by_asset": 0, "max_unconfirmed_by_channel": 0}
    with (
        merchant_with(scene, tmp_path / "merchant", **limits) as merchant,
        customer_with(scene, tmp_path / "customer", merchant) as customer,
        held(scene.net),
    ):
        package = customer.create_payment_package(1)
        wait_for_code(merchant, package, "above_unconfirmed_limits")
        with untouched(tmp_path / "merchant"):
            assert_refused(merchant.verify_payment_package(package), "above_unconfirmed_limits")


def test_a_payment_above_an_unconfirmed_deposit_is_refused(scene: Scene, tmp_path: Path) -> None:
    with (
        merchant_with(scene, tmp_path / "merchant") as merchant,
        customer_with(scene, tmp_path / "customer", merchant) as customer,
        held(scene.net),
    ):
        wait_for_code(merchant, customer.create_payment_package(1_000), None)
        parameters = parameters_of(customer)
        greedy = scene.package(DEPOSIT + 1, 1, key=customer.wallet.key, parameters=parameters)
        with untouched(tmp_path / "merchant"):
            assert_refused(merchant.verify_payment_package(greedy), "above_deposit")


def test_a_double_spent_deposit_pays_for_nothing(scene: Scene, tmp_path: Path) -> None:
    with (
        merchant_with(scene, tmp_path / "merchant") as merchant,
        customer_with(scene, tmp_path / "customer", merchant) as customer,
        RawClient(scene.net) as raw,
        held(scene.net),
    ):
        key = customer.wallet.key
        rival = raw.compose(key, Draft(outputs={"base": (Output(key.address, 5_000),)}))
        wait_for_code(merchant, customer.create_payment_package(1_000), None)
        package = customer.create_payment_package(1_000)
        greedy = scene.package(DEPOSIT + 1, 1, key=key, parameters=parameters_of(customer))
        raw.say("joint", {"unit": rival})
        assert raw.wait_for("result")["result"] == "accepted"
        wait_for_code(merchant, greedy, "deposit_double_spent")
        with untouched(tmp_path / "merchant"):
            assert_refused(merchant.verify_payment_package(package), "deposit_double_spent")


def test_a_channel_that_the_merchant_closes_takes_no_payment(scene: Scene, tmp_path: Path) -> None:
    with (
        merchant_with(scene, tmp_path / "merchant") as merchant,
        customer_with(scene, tmp_path / "customer", merchant) as customer,
    ):
        open_channel(customer, merchant)
        package = customer.create_payment_package(1_000)
        with held(scene.net):
            merchant.sweep(customer.aa_address)
            with untouched(tmp_path / "merchant"):
                assert_refused(merchant.verify_payment_package(package), "channel_closing")
                with pytest.raises(PaypercallError) as refusal:
                    merchant.create_payment_package(1, customer.aa_address)
                assert refusal.value.code == "channel_closing"


def test_a_channel_that_the_customer_closes_takes_no_payment(scene: Scene, tmp_path: Path) -> None:
    with (
        merchant_with(scene, tmp_path / "merchant") as merchant,
        customer_with(scene, tmp_path / "customer", merchant) as customer,
    ):
        open_channel(customer, merchant)
        package = customer.create_payment_package(1_000)
        with held(scene.net):
            customer.sweep()
            late = scene.package(10**9, 1, key=customer.wallet.key, parameters=parameters_of(customer))
            wait_for_code(merchant, late, "channel_closing")
            with untouched(tmp_path / "merchant"):
                assert_refused(merchant.verify_payment_package(package), "channel_closing")


def open_channel(customer: Client, merchant: Server) -> None:
    wait_for_code(merchant, customer.create_payment_package(1_000), None)
    wait_until(
        lambda: (
            customer.balance().status is Status.OPEN
            and [channel.status for channel in merchant.channels()] == [Status.OPEN]
        ),
        "both see the channel open",
    )


def parameters_of(customer: Client) -> ChannelParameters:
    with customer._store.reading() as books:
        record = books.channels.get(customer.aa_address)
    assert record is not None
    return record.channel.parameters


def test_a_stored_channel_in_an_asset_that_is_no_longer_accepted_takes_no_payment(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset = "A" * 43 + "="
    limits = {asset: 1_000_000}
    conf = replace(
        scene.merchant._conf,
        accepted_assets=(asset,),
        max_unsettled_by_channel=limits,
        max_unsettled_by_asset=limits,
        cost_of_sweep_by_asset={asset: 1},
    )
    monkeypatch.setattr(scene.merchant, "_conf", conf)
    with untouched(scene.folder):
        assert_refused(scene.merchant.verify_payment_package(scene.next_package()), "wrong_asset")


def test_a_payment_in_a_channel_that_costs_more_to_settle_than_it_can_bring_is_refused(
    scene: Scene, tmp_path: Path
) -> None:
    with (
        merchant_with(scene, tmp_path / "merchant") as merchant,
        customer_on(
            scene.net,
            tmp_path / "customer",
            merchant.address,
            deposit_amount=SWEEPING_COST,
            refill_threshold=0,
        ) as customer,
    ):
        with held(scene.net):
            package = customer.create_payment_package(1_000)
            wait_for_code(merchant, package, "uneconomic")
            with untouched(tmp_path / "merchant"):
                assert_refused(merchant.verify_payment_package(package), "uneconomic")
        # This needs a second deposit, with which the channel is worth its settling.
        package = customer.create_payment_package(SWEEPING_COST)
        assert wait_for_code(merchant, package, None).amount == SWEEPING_COST
    customer.wallet.close()


@pytest.mark.parametrize(
    "demands, code",
    [
        *(({"min_amount": amount}, "wrong_amount") for amount in (-1, 1.0, True, "5", [1], 10**15)),
        *(({"asset": asset}, "wrong_asset") for asset in ("", "gold", 5, b"base", ["base"], "A" * 44 + "=")),
    ],
    ids=lambda value: f"{value!r:.40}",
)
def test_what_a_host_cannot_demand_is_refused_whatever_the_package(
    scene: Scene, demands: dict[str, Any], code: str
) -> None:
    for package in (scene.package(25_000, 5_000), scene.last_package, "no package"):
        for party, folder in ((scene.merchant, scene.folder), (scene.customer, scene.customer_folder)):
            with untouched(folder), pytest.raises(Refusal) as refusal:
                party.verify_payment_package(package, **demands)
            assert refusal.value.code == code


# --- creating --------------------------------------------------------------------------------------------------------

WRONG_AMOUNTS = [0, -1, 1.0, 0.5, True, "1000", None, [1], 10**15, 2**63, 10**400]


@pytest.mark.parametrize("amount", WRONG_AMOUNTS, ids=lambda amount: f"{amount!r:.20}")
def test_an_amount_that_is_none_is_refused_and_opens_no_channel(
    scene: Scene, tmp_path: Path, amount: Any
) -> None:
    with customer_with(scene, tmp_path / "new", scene.merchant, funds=0) as newcomer:
        for party, folder in ((newcomer, tmp_path / "new"), (scene.customer, scene.customer_folder)):
            with untouched(folder), pytest.raises(PaypercallError) as refusal:
                party.create_payment_package(amount, timeout=5)
            assert refusal.value.code == "wrong_amount"
    with untouched(scene.folder), pytest.raises(PaypercallError) as refusal:
        scene.merchant.create_payment_package(amount, scene.customer.aa_address)
    assert refusal.value.code == "wrong_amount"


def test_a_refund_above_what_was_paid_is_refused(scene: Scene) -> None:
    with untouched(scene.folder), pytest.raises(PaypercallError) as refusal:
        scene.merchant.create_payment_package(20_001, scene.customer.aa_address)
    assert refusal.value.code == "above_deposit"


def test_a_payment_that_no_deposit_can_cover_is_refused(scene: Scene) -> None:
    with (
        untouched(scene.customer_folder),
        pytest.raises(PaypercallError, match="larger deposit_amount") as refusal,
    ):
        scene.customer.create_payment_package(2 * DEPOSIT, timeout=5)
    assert refusal.value.code == "above_deposit"


@pytest.mark.parametrize(
    "aa_address",
    ["", "x", None, 5, ["x"], {}, "\0" * 32, "\ud800" * 32, "A" * 32, "x" * 10_000_000, True, b"x"],
    ids=lambda aa_address: f"{aa_address!r:.20}",
)
def test_a_refund_in_a_channel_that_is_none_is_refused(scene: Scene, aa_address: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: scene.merchant.create_payment_package(1, aa_address),
        lambda: scene.merchant.create_payment_package(1, aa_address, "key"),
        lambda: scene.merchant.sweep(aa_address),
        lambda: scene.merchant.close(aa_address),
    ]
    for call in calls:
        with untouched(scene.folder), pytest.raises(PaypercallError) as refusal:
            call()
        assert refusal.value.code == "unknown_channel"
        assert len(str(refusal.value)) < 250


def test_an_idempotency_key_that_was_used_for_another_amount_is_refused(scene: Scene) -> None:
    address = scene.customer.aa_address
    refund = scene.merchant.create_payment_package(1, address, "refund 1")
    payment = scene.customer.create_payment_package(1, "call 1")
    with untouched(scene.folder), untouched(scene.customer_folder):
        assert scene.merchant.create_payment_package(1, address, "refund 1") == refund
        assert scene.customer.create_payment_package(1, "call 1") == payment
        for amount in (2, 999_999_999_999_999):
            with pytest.raises(PaypercallError) as refusal:
                scene.merchant.create_payment_package(amount, address, "refund 1")
            assert refusal.value.code == "idempotency_conflict"
            with pytest.raises(PaypercallError) as refusal:
                scene.customer.create_payment_package(amount, "call 1")
            assert refusal.value.code == "idempotency_conflict"
        for odd in (True, 1.0):
            with pytest.raises(PaypercallError) as refusal:
                scene.merchant.create_payment_package(odd, address, "refund 1")  # type: ignore[arg-type]
            assert refusal.value.code == "wrong_amount"


@pytest.mark.parametrize(
    "key",
    ["", 5, 1.5, True, b"key", ["key"], "nul\0", "\ud800", "k" * 256, "k" * 10_000_000],
    ids=lambda key: f"{key!r:.20}",
)
def test_an_idempotency_key_that_is_none_is_refused(scene: Scene, tmp_path: Path, key: Any) -> None:
    with customer_with(scene, tmp_path / "new", scene.merchant, funds=0) as newcomer:
        for party, folder in ((newcomer, tmp_path / "new"), (scene.customer, scene.customer_folder)):
            with untouched(folder), pytest.raises(PaypercallError) as refusal:
                party.create_payment_package(1, key, timeout=5)
            assert refusal.value.code == "wrong_idempotency_key"
            assert len(str(refusal.value)) < 250
    with untouched(scene.folder), pytest.raises(PaypercallError) as refusal:
        scene.merchant.create_payment_package(1, scene.customer.aa_address, key)
    assert refusal.value.code == "wrong_idempotency_key"


@pytest.mark.parametrize(
    "arguments, code",
    [
        *(({"amount": amount}, "wrong_amount") for amount in WRONG_AMOUNTS),
        *(({"address": address}, "wrong_parameters") for address in ("", "me", "A" * 32, None, 5, "\ud800")),
        *(({"asset": asset}, "wrong_asset") for asset in ("", "gold", None, 5, "\0" * 44, "A" * 44 + "=")),
    ],
    ids=lambda value: f"{value!r:.40}",
)
def test_a_withdrawal_that_makes_no_sense_is_refused(
    scene: Scene, arguments: dict[str, Any], code: str
) -> None:
    given = {"amount": 1, "address": scene.customer.address, **arguments}
    with untouched(scene.folder), pytest.raises(PaypercallError) as refusal:
        scene.merchant.withdraw(**given)
    assert refusal.value.code == code


# --- making a party --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, code",
    [
        ({"peer_address": ""}, "wrong_parameters"),
        ({"peer_address": "merchant"}, "wrong_parameters"),
        ({"peer_address": "A" * 32}, "wrong_parameters"),
        ({"peer_address": None}, "wrong_parameters"),
        ({"peer_address": 5}, "wrong_parameters"),
        ({"peer_address": "\ud800" * 32}, "wrong_parameters"),
        ({"peer_address": "itself"}, "wrong_parameters"),
        ({"asset": "gold"}, "wrong_parameters"),
        ({"asset": "\0"}, "wrong_parameters"),
        ({"asset": 5}, "wrong_parameters"),
        ({"deposit_amount": 10_000}, "wrong_amount"),
        ({"deposit_amount": 0}, "wrong_amount"),
        ({"deposit_amount": -100_000}, "wrong_amount"),
        ({"deposit_amount": 100_000.0}, "wrong_amount"),
        ({"deposit_amount": True}, "wrong_amount"),
        ({"deposit_amount": "100000"}, "wrong_amount"),
        ({"deposit_amount": None}, "wrong_amount"),
        ({"deposit_amount": 10**15}, "wrong_amount"),
        ({"asset": "A" * 43 + "=", "deposit_amount": 0}, "wrong_amount"),
        ({"refill_threshold": 100_001}, "wrong_amount"),
        ({"refill_threshold": -1}, "wrong_amount"),
        ({"refill_threshold": 1.5}, "wrong_amount"),
        ({"refill_threshold": True}, "wrong_amount"),
        ({"refill_threshold": None}, "wrong_amount"),
    ],
    ids=lambda value: f"{value!r:.50}",
)
def test_a_client_that_makes_no_sense_is_refused(
    scene: Scene, tmp_path: Path, arguments: dict[str, Any], code: str
) -> None:
    wallet = wallet_on(scene.net, funds=0)
    given = {"peer_address": scene.merchant.address, "deposit_amount": DEPOSIT, **arguments}
    if given["peer_address"] == "itself":
        given["peer_address"] = wallet.address
    with pytest.raises(PaypercallError) as refusal:
        Client(**given, wallet=wallet, conf=conf_for(scene.net, tmp_path))
    assert refusal.value.code == code
    assert len(str(refusal.value)) < 250
    if (tmp_path / "paypercall.sqlite").exists():
        books = dump(tmp_path)
        assert not any(rows for name, rows in books.items() if name != VERSION_TABLE), books
    wallet.close()


def test_a_client_in_an_asset_that_nobody_issued_is_refused(scene: Scene, tmp_path: Path) -> None:
    wallet = wallet_on(scene.net, funds=0)
    unknown = "A" * 43 + "="
    conf = conf_for(scene.net, tmp_path)
    with Client(scene.merchant.address, unknown, 1_000, 0, wallet=wallet, conf=conf) as client:
        with untouched(tmp_path), pytest.raises(PaypercallError) as refusal:
            client.create_payment_package(1)
        assert refusal.value.code == "wrong_asset"
    wallet.close()


@pytest.mark.parametrize("period", [0, -1, 1.5, True, "3600", None, 2**63])
def test_a_server_with_a_sweeping_period_that_is_none_is_refused(
    scene: Scene, tmp_path: Path, period: Any
) -> None:
    wallet = wallet_on(scene.net, funds=0)
    with pytest.raises(ValueError, match="max_sweeping_period must be a positive integer of seconds"):
        Server(max_sweeping_period=period, wallet=wallet, conf=conf_for(scene.net, tmp_path))
    assert not (tmp_path / "paypercall.sqlite").exists()
    wallet.close()
