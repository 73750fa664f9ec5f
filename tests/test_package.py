"""Payment packages: composed as the reference does, and never taken where the agent would not honour them."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paypercall.contract import ChannelParameters
from paypercall.devnet.agent_package import PackageRules
from paypercall.errors import Refusal, RefusalCode
from paypercall.obyte.address import definition_address
from paypercall.obyte.errors import CanonicalError
from paypercall.obyte.keys import Key
from paypercall.package import MAX_PACKAGE_BYTES, PaymentPackage, compose_package, hash_to_sign, parse_package
from paypercall.trigger_data import MAX_AGENT_AMOUNT
from tests.two_sides import (
    ASSET,
    CUSTOMER,
    PAYEE,
    STRANGER,
    VERSION,
    channel_parameters,
    refusal_code,
    signed_package,
)
from tests.vectors import Case, expected, load_cases, outcome

VERSIONS = {"livenet": "4.0", "testnet": "4.0t", "devnet": "4.0dev"}
GROUP_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
PARAMETERS = channel_parameters()

Package = dict[str, Any]
Change = Callable[[Package], object]


def refused(source: object, version: str = VERSION) -> RefusalCode:
    """Returns the code with which a package is refused; anything but a refusal fails the test."""
    with pytest.raises(Refusal) as refusal:
        parse_package(source, network_version=version)
    return refusal_code(refusal.value)


def parse(source: object) -> PaymentPackage:
    return parse_package(source, network_version=VERSION)


def announcing_package() -> Package:
    return signed_package(40_000, announce=PARAMETERS)


def resigned(package: Package, key: Key = CUSTOMER) -> Package:
    """The package with a good signature over whatever it says now."""
    package["authors"][0]["authentifiers"] = {"r": key.sign(hash_to_sign(package))}
    return package


def changed(change: Change, *, sign_again: bool = True) -> Package:
    package = deepcopy(announcing_package())
    change(package)
    return resigned(package) if sign_again else package


def author(package: Package) -> Package:
    entry: Package = package["authors"][0]
    return entry


# --- the golden cases --------------------------------------------------------------------------------------


def signing_cases() -> list[Case]:
    return [case for case in load_cases("signed_package.json", "sign") if "hash_to_sign_hex" in case]


def test_every_golden_package_has_its_hash_to_sign() -> None:
    cases = signing_cases()
    assert len(cases) == 93
    for case in cases:
        assert {"ok": hash_to_sign(case["package"]["ok"]).hex()} == case["hash_to_sign_hex"], case["name"]


def test_what_the_reference_cannot_sign_has_no_hash_here_either() -> None:
    cases = [case for case in load_cases("signed_package.json", "sign") if "ok" not in case["package"]]
    assert len(cases) == 21
    for case in cases:
        package = {
            "version": case["version"],
            "signed_message": case["message"],
            "authors": [{"address": case["address"], "definition": case["definition"]}],
        }
        assert outcome(hash_to_sign, package) == expected(case["package"]), case["name"]


def test_every_golden_channel_payment_is_composed_to_the_byte() -> None:
    composed = 0
    for case in signing_cases():
        if "channel payment" not in case["name"]:
            continue
        message, key = case["message"], Key(bytes.fromhex(case["priv_hex"]))
        announced = message.get("channel_parameters")
        package = compose_package(
            key,
            VERSIONS[case["network"]],
            aa_address=message["aa_address"],
            period=message["period"],
            payment_amount=message["payment_amount"],
            amount_spent=message["amount_spent"],
            announce=announced
            and ChannelParameters(
                PAYEE.address,
                announced["address"],
                announced["asset"],
                announced["salt"],
                announced["timeout"],
                announced["version"],
            ),
        )
        assert package == case["package"]["ok"]
        assert parse_package(package, network_version=VERSIONS[case["network"]]).signer == key.address
        composed += 1
    assert composed == 12


def is_of_the_agreed_shape(package: object, version: str) -> bool:
    """DESIGN's shape of a package, stated a second time: what is stricter here than in the agent."""
    match package:
        case {
            "version": str(has_version),
            "signed_message": {
                "payment_amount": int(payment_amount),
                "amount_spent": int(amount_spent),
                "period": int(period),
                "aa_address": str(aa_address),
                **others,
            },
            "authors": [
                {
                    "address": str(),
                    "authentifiers": {"r": str(signature), **more_signatures},
                    "definition": ["sig", {"pubkey": str(key), **more_arguments}],
                    **more_of_author,
                }
            ],
            **more_fields,
        }:
            numbers = (payment_amount, amount_spent, period)
            return (
                has_version == version
                and not (more_signatures or more_arguments or more_of_author or more_fields)
                and others.keys() <= {"channel_parameters"}
                and all(type(number) is int and 0 < number < 10**15 for number in numbers)
                and payment_amount <= amount_spent
                and re.fullmatch("[A-Z2-7]{32}", aa_address) is not None
                and re.fullmatch("[A-Za-z0-9+/]{85}[AQgw]==", signature) is not None
                and re.fullmatch("[A-Za-z0-9+/]{44}", key) is not None
            )
    return False


def names_a_field_twice(text: str) -> bool:
    repeated: list[bool] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        repeated.append(len(dict(pairs)) < len(pairs))

    json.loads(text, object_pairs_hook=look)
    return any(repeated)


def test_of_the_golden_packages_those_are_accepted_that_the_agent_honours_and_have_our_shape() -> None:
    accepted = 0
    for case in load_cases("signed_package.json"):
        package = case["package"].get("ok") if case["kind"] == "sign" else case["package"]
        raw = [case["json"]] if case["kind"] == "validate" and "json" in case else []
        version = VERSIONS[case["network"]]
        for source in [package, *raw]:
            is_due = case.get("aa_formula", {}).get("valid") is True and is_of_the_agreed_shape(
                package, version
            )
            is_due = is_due and not (source in raw and names_a_field_twice(case["json"]))
            try:
                parse_package(source, network_version=version)
                is_accepted = True
            except Refusal:
                is_accepted = False
            assert is_accepted == is_due, case["name"]
            accepted += is_accepted
    assert accepted == 12


def test_of_the_golden_packages_none_of_another_network_is_accepted() -> None:
    for case in load_cases("signed_package.json", "sign"):
        if "ok" in case["package"]:
            others = [version for name, version in VERSIONS.items() if name != case["network"]]
            codes = {refused(case["package"]["ok"], version) for version in others}
            assert codes == {RefusalCode.WRONG_VERSION}, case["name"]


# --- what is accepted --------------------------------------------------------------------------------------


def test_a_package_that_was_composed_is_accepted_with_all_that_it_says() -> None:
    package = compose_package(
        CUSTOMER,
        VERSION,
        aa_address=PARAMETERS.aa_address,
        period=3,
        payment_amount=25,
        amount_spent=100,
        announce=PARAMETERS,
    )
    parsed = parse(package)
    assert (parsed.aa_address, parsed.period) == (PARAMETERS.aa_address, 3)
    assert (parsed.payment_amount, parsed.amount_spent) == (25, 100)
    assert parsed.signer == CUSTOMER.address
    assert parsed.announced is not None
    assert parsed.announced.parameters(PAYEE.address) == PARAMETERS
    assert parsed.digest == hash_to_sign(package).hex()
    assert json.loads(parsed.text) == package


def test_a_package_without_channel_parameters_announces_nothing() -> None:
    assert parse(signed_package(5)).announced is None


def test_a_package_is_the_same_as_dict_text_or_bytes() -> None:
    package = announcing_package()
    text = json.dumps(package, indent=2)
    assert parse(package) == parse(text) == parse(text.encode()) == parse(bytearray(text.encode()))


def test_the_text_of_a_package_is_plain_ascii_that_a_unit_can_carry() -> None:
    text = parse(announcing_package()).text
    assert text.isascii()
    assert len(text) <= MAX_PACKAGE_BYTES


def test_the_order_of_fields_does_not_matter() -> None:
    package = announcing_package()
    turned = {name: package[name] for name in reversed(package)}
    turned["signed_message"] = {
        name: package["signed_message"][name] for name in reversed(package["signed_message"])
    }
    assert parse(turned).digest == parse(package).digest


def test_two_packages_that_say_the_same_have_one_digest_and_others_have_another() -> None:
    assert parse(signed_package(10)).digest == parse(signed_package(10)).digest
    digests = {parse(signed_package(10, paid)).digest for paid in (1, 5, 10)}
    digests |= {parse(signed_package(10, period=2)).digest, parse(signed_package(10, key=PAYEE)).digest}
    digests |= {parse(signed_package(10, announce=PARAMETERS)).digest}
    assert len(digests) == 6


@pytest.mark.parametrize("amount", [1, 2, MAX_AGENT_AMOUNT - 1, MAX_AGENT_AMOUNT])
def test_amounts_up_to_what_the_agent_counts_exactly_are_accepted(amount: int) -> None:
    assert parse(signed_package(amount)).amount_spent == amount


def test_the_longest_package_of_the_agreed_shape_is_within_the_limit() -> None:
    longest = ChannelParameters(
        PAYEE.address, CUSTOMER.address, ASSET, "s" * 50, MAX_AGENT_AMOUNT, version="v" * 50
    )
    package = signed_package(MAX_AGENT_AMOUNT, period=MAX_AGENT_AMOUNT, announce=longest)
    assert len(parse(package).text) < MAX_PACKAGE_BYTES // 2


# --- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "",
        "{",
        "hello",
        "{'version': '4.0dev'}",
        '{"version": NaN',
        "\ufeff{}",
        b"",
        b"\xff\xfe{\x00}\x00",
        b"\x80abc",
        b"\x00",
        "\x00",
        '{"version": "4.0dev", "version": "4.0dev"}',
        '{"signed_message": {"period": 1, "period": 2}}',
    ],
)
def test_what_is_not_json_is_refused_as_such(source: str | bytes) -> None:
    assert refused(source) is RefusalCode.NOT_JSON


def test_deeply_nested_json_is_refused() -> None:
    assert refused("[" * 1_000 + "]" * 1_000) in {RefusalCode.NOT_JSON, RefusalCode.WRONG_SHAPE}
    assert refused('{"version":' * 150 + "1" + "}" * 150) is RefusalCode.WRONG_SHAPE


@pytest.mark.parametrize(
    "source",
    [
        "null",
        "1",
        "true",
        '"text"',
        "[]",
        "[{}]",
        "NaN",
        "-Infinity",
        "1e999",
        "{}",
        None,
        5,
        1.5,
        True,
        [],
        (),
        object(),
    ],
)
def test_json_of_a_wrong_type_is_refused(source: object) -> None:
    assert refused(source) is RefusalCode.WRONG_SHAPE


@pytest.mark.parametrize("source", ["x" * 10_000_000, b"[" * 10_000_000, "\u00e9" * (MAX_PACKAGE_BYTES + 1)])
def test_ten_megabytes_are_refused_unread(source: str | bytes) -> None:
    assert refused(source) is RefusalCode.TOO_LARGE


def test_the_size_of_bytes_is_counted_in_bytes() -> None:
    assert refused(("\u00e9" * (MAX_PACKAGE_BYTES // 2 + 1)).encode()) is RefusalCode.TOO_LARGE
    assert refused(("\u00e9" * (MAX_PACKAGE_BYTES // 2)).encode()) is RefusalCode.NOT_JSON


@pytest.mark.parametrize("as_bytes", [False, True])
def test_the_limit_of_size_is_exact(as_bytes: bool) -> None:
    text = json.dumps(announcing_package())
    for size, is_accepted in ((MAX_PACKAGE_BYTES, True), (MAX_PACKAGE_BYTES + 1, False)):
        padded = text + " " * (size - len(text))
        source = padded.encode() if as_bytes else padded
        if is_accepted:
            assert parse(source).amount_spent == 40_000
        else:
            assert refused(source) is RefusalCode.TOO_LARGE


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("name", ["version", "signed_message", "authors"])
def test_deep_nesting_in_any_field_is_refused(name: str) -> None:
    package = {**announcing_package(), name: nested(5_000)}
    assert refused(package) in {RefusalCode.WRONG_SHAPE, RefusalCode.WRONG_VERSION}


def test_deep_nesting_in_every_inner_field_is_refused() -> None:
    for path in inner_fields(announcing_package()):
        package = announcing_package()
        put(package, path, nested(5_000))
        assert refused(package) is not None, path


def inner_fields(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all fields and list elements inside a package."""
    if isinstance(value, dict):
        entries = list(value.items())
    elif isinstance(value, list):
        entries = list(enumerate(value))
    else:
        return []
    return [
        found for name, inner in entries for found in ((*path, name), *inner_fields(inner, (*path, name)))
    ]


def put(package: Package, path: tuple[Any, ...], value: object) -> None:
    target: Any = package
    for name in path[:-1]:
        target = target[name]
    target[path[-1]] = value


def take_out(package: Package, path: tuple[Any, ...]) -> None:
    target: Any = package
    for name in path[:-1]:
        target = target[name]
    del target[path[-1]]


OPTIONAL_FIELD = ("signed_message", "channel_parameters")
EVERY_PATH = inner_fields(announcing_package())


@pytest.mark.parametrize("path", EVERY_PATH, ids=str)
def test_without_any_one_of_its_fields_a_package_is_refused(path: tuple[Any, ...]) -> None:
    package = announcing_package()
    take_out(package, path)
    if path == OPTIONAL_FIELD:
        assert refused(package) is RefusalCode.WRONG_SIGNATURE
        assert parse(resigned(package)).announced is None
    else:
        assert refused(package) is RefusalCode.WRONG_SHAPE


@pytest.mark.parametrize(
    "path",
    [(), *(path for path in EVERY_PATH if path[-1] not in ("definition",))],
    ids=str,
)
def test_one_field_more_in_any_place_is_refused_even_if_signed(path: tuple[Any, ...]) -> None:
    package = announcing_package()
    target: Any = package
    for name in path:
        target = target[name]
    if not isinstance(target, dict):
        return
    target["note"] = "hello"
    if "authentifiers" not in path:
        resigned(package)
        author(package)["address"] = CUSTOMER.address
    assert refused(package) in {RefusalCode.WRONG_SHAPE, RefusalCode.WRONG_SIGNER}


@pytest.mark.parametrize("name", ["timestamp", "last_ball_unit"])
def test_a_timestamp_or_a_last_ball_unit_is_refused(name: str) -> None:
    value = 1_700_000_000 if name == "timestamp" else "A" * 43 + "="
    assert refused(changed(lambda package: package.update({name: value}))) is RefusalCode.WRONG_SHAPE


NO_AMOUNT = [
    0,
    -1,
    -40_000,
    1.5,
    40_000.0,
    math.nan,
    math.inf,
    -math.inf,
    True,
    False,
    None,
    "1",
    "40000",
    [1],
    {"a": 1},
]
TOO_LARGE_AMOUNT = [MAX_AGENT_AMOUNT + 1, 2**53 - 1, 2**53 + 1, 2**63, 10**30, 10**2000]


@pytest.mark.parametrize("name", ["payment_amount", "amount_spent", "period"])
@pytest.mark.parametrize("value", NO_AMOUNT + TOO_LARGE_AMOUNT, ids=lambda value: repr(value)[:24])
def test_amounts_and_periods_are_positive_integers_of_fifteen_digits(name: str, value: object) -> None:
    package = announcing_package()
    package["signed_message"][name] = value
    if name == "amount_spent":
        package["signed_message"]["payment_amount"] = 1
    assert refused(package) is RefusalCode.WRONG_AMOUNT


@pytest.mark.parametrize(
    "literal", ["NaN", "Infinity", "-Infinity", "4e4", "40000.0", "4e-1", "-0", "1e400", "-1"]
)
def test_numbers_in_other_spellings_are_refused(literal: str) -> None:
    text = json.dumps(announcing_package()).replace('"amount_spent": 40000', f'"amount_spent": {literal}')
    assert refused(text) is RefusalCode.WRONG_AMOUNT


def test_an_integer_of_thousands_of_digits_is_refused() -> None:
    text = json.dumps(signed_package(40_000)).replace(
        '"amount_spent": 40000', f'"amount_spent": {"9" * 1_200}'
    )
    assert refused(text) is RefusalCode.WRONG_AMOUNT
    with_more = text.replace("9" * 1_200, "9" * 5_000)
    assert refused(with_more) is RefusalCode.TOO_LARGE


def test_a_payment_above_the_total_that_includes_it_is_refused() -> None:
    assert refused(signed_package(10, 11)) is RefusalCode.WRONG_AMOUNT
    assert parse(signed_package(10, 10)).payment_amount == 10


@pytest.mark.parametrize(
    "version",
    ["4.0", "4.0t", "3.0dev", "2.0dev", "1.0dev", "1.0", "4.0DEV", "", "4.0dev ", 4, 4.0, None, ["4.0dev"]],
)
def test_any_other_version_is_refused(version: object) -> None:
    package = announcing_package()
    package["version"] = version
    assert refused(package) is RefusalCode.WRONG_VERSION


@pytest.mark.parametrize(
    "address",
    [
        None,
        5,
        "",
        PARAMETERS.aa_address.lower(),
        PARAMETERS.aa_address[:-1],
        PARAMETERS.aa_address + "\n",
        PARAMETERS.aa_address + "A",
        PARAMETERS.aa_address[:-1] + ("A" if PARAMETERS.aa_address[-1] != "A" else "B"),
        [PARAMETERS.aa_address],
        "A" * 32,
        "\ud800" * 32,
        "\x00" * 32,
    ],
)
def test_an_aa_address_that_is_none_is_refused(address: object) -> None:
    package = announcing_package()
    package["signed_message"]["aa_address"] = address
    assert refused(package) is RefusalCode.WRONG_SHAPE


@pytest.mark.parametrize("name", ["address", "asset", "salt", "version"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "s" * 51,
        "a\x00b",
        "\ud800",
        "\ud83d\ude00",
        "\u00e9",
        "a\nb",
        "\x7f",
        "\u2028",
        5,
        True,
        None,
        ["a"],
        {"a": 1},
    ],
    ids=ascii,
)
def test_texts_in_channel_parameters_are_short_printable_ascii(name: str, text: object) -> None:
    package = announcing_package()
    package["signed_message"]["channel_parameters"][name] = text
    assert refused(package) is RefusalCode.WRONG_SHAPE


@pytest.mark.parametrize("timeout", [0, -1, 1.5, 100.0, True, False, "60", None, math.nan, [60]])
def test_a_timeout_that_is_no_positive_integer_is_refused(timeout: object) -> None:
    package = announcing_package()
    package["signed_message"]["channel_parameters"]["timeout"] = timeout
    assert refused(package) is RefusalCode.WRONG_SHAPE


def test_a_timeout_so_large_that_it_cannot_be_hashed_is_refused() -> None:
    package = announcing_package()
    package["signed_message"]["channel_parameters"]["timeout"] = 10**400
    assert refused(package) in {RefusalCode.WRONG_SHAPE, RefusalCode.WRONG_PARAMETERS}
    assert refused(json.dumps(package)) in {RefusalCode.WRONG_SHAPE, RefusalCode.WRONG_PARAMETERS}


@pytest.mark.parametrize(
    "parameters", [None, [], {}, "text", 5, {"timeout": 600}, {**{"salt": "s"}, "asset": "base"}]
)
def test_channel_parameters_of_a_wrong_shape_are_refused(parameters: object) -> None:
    package = announcing_package()
    package["signed_message"]["channel_parameters"] = parameters
    assert refused(package) is RefusalCode.WRONG_SHAPE


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "\udfff\ud800", "\u00e9"], ids=ascii)
@pytest.mark.parametrize("path", EVERY_PATH, ids=str)
def test_nul_bytes_and_lone_surrogates_are_refused_everywhere(path: tuple[Any, ...], text: str) -> None:
    package = announcing_package()
    put(package, path, text)
    assert refused(package) is not None
    assert refused(json.dumps(package)) is not None


@pytest.mark.parametrize("name", ["\x00", "\ud800", "r\x00", "note\udc00"], ids=ascii)
def test_odd_names_of_fields_are_refused_and_not_repeated_in_the_error(name: str) -> None:
    for path in [(), ("signed_message",), ("authors", 0), ("authors", 0, "authentifiers")]:
        package = announcing_package()
        put(package, (*path, name), "x")
        with pytest.raises(Refusal) as refusal:
            parse(package)
        assert refusal_code(refusal.value) is RefusalCode.WRONG_SHAPE
        assert str(refusal.value).isprintable()


# --- authors, keys and signatures --------------------------------------------------------------------------


@pytest.mark.parametrize("authors", [[], None, {}, "x", [None], [[]], [5], ["address"]])
def test_authors_of_a_wrong_shape_are_refused(authors: object) -> None:
    package = {**announcing_package(), "authors": authors}
    assert refused(package) is RefusalCode.WRONG_SHAPE


def test_a_second_author_is_refused_though_the_agent_would_honour_it() -> None:
    first, second = sorted((CUSTOMER, PAYEE), key=lambda key: key.address)
    package = signed_package(5, key=first)
    package["authors"].append(deepcopy(signed_package(5, key=second)["authors"][0]))
    digest = hash_to_sign(package)
    for entry, key in zip(package["authors"], (first, second), strict=True):
        entry["authentifiers"] = {"r": key.sign(digest)}
    rules = PackageRules(VERSION, 1, Nothing())
    assert rules.is_valid(package, CUSTOMER.address)
    assert refused(package) is RefusalCode.WRONG_SHAPE


def test_a_key_that_is_not_the_addresss_is_refused() -> None:
    package = announcing_package()
    author(package)["address"] = STRANGER.address
    assert refused(resigned(package)) is RefusalCode.WRONG_SIGNER
    package = announcing_package()
    author(package)["definition"] = STRANGER.definition
    assert refused(resigned(package, STRANGER)) is RefusalCode.WRONG_SIGNER


@pytest.mark.parametrize(
    "definition",
    [
        None,
        [],
        "sig",
        ["sig"],
        ["sig", None],
        ["sig", {}],
        ["sig", {"pubkey": None}],
        ["sig", {"pubkey": ["A"]}],
        ["sig", {"pubkey": CUSTOMER.public_key}, {}],
        ["sig", {"pubkey": CUSTOMER.public_key, "algo": "secp256k1"}],
        ["sig", {"pubkey": CUSTOMER.public_key + "\n"}],
        ["sig", {"pubkey": CUSTOMER.public_key[:-1]}],
        ["sig", {"pubkey": base64.b64encode(bytes(32)).decode()}],
        ["sig", {"pubkey": base64.urlsafe_b64encode(b"\x02" + b"\xfb\xff" * 16).decode()}],
        ["sig", {"pubkey": "\ud800" * 44}],
        ["hash", {"hash": "A" * 44}],
        ["autonomous agent", {"messages": []}],
        ["or", [CUSTOMER.definition, PAYEE.definition]],
        ["r of set", {"required": 1, "set": [{"weight": 1, "value": CUSTOMER.definition}]}],
        {"sig": {"pubkey": CUSTOMER.public_key}},
    ],
    ids=lambda definition: ascii(definition)[:40],
)
def test_any_definition_but_a_single_key_is_refused(definition: object) -> None:
    package = announcing_package()
    author(package)["definition"] = definition
    assert refused(package) is RefusalCode.WRONG_SHAPE


def test_a_key_that_is_no_point_of_the_curve_is_refused() -> None:
    for first_byte in (b"\x00", b"\x02", b"\x04", b"\x06"):
        package = announcing_package()
        key = base64.b64encode(first_byte + b"\xff" * 32).decode()
        definition = ["sig", {"pubkey": key}]
        author(package).update(address=definition_address(definition), definition=definition)
        assert refused(package) is RefusalCode.WRONG_SIGNATURE


def raw_signature(package: Package) -> bytes:
    return base64.b64decode(author(package)["authentifiers"]["r"])


def with_signature(signature: object) -> Package:
    package = announcing_package()
    author(package)["authentifiers"] = {"r": signature}
    return package


def test_a_high_s_is_refused() -> None:
    raw = raw_signature(announcing_package())
    high = GROUP_ORDER - int.from_bytes(raw[32:], "big")
    mirrored = raw[:32] + high.to_bytes(32, "big")
    assert refused(with_signature(base64.b64encode(mirrored).decode())) is RefusalCode.WRONG_SIGNATURE


def test_every_other_spelling_of_the_signature_is_refused() -> None:
    raw = raw_signature(announcing_package())
    text = base64.b64encode(raw).decode()
    loose_bits = text[:-3] + chr(ord(text[-3]) + 1) + "=="
    assert base64.b64decode(loose_bits) == raw
    spellings = [
        text[:-2],
        text[:-1],
        text + "=",
        text + "\n",
        " " + text,
        text[:44] + "\n" + text[44:],
        text + "junk",
        loose_bits,
        base64.b64encode(raw + b"\x00").decode(),
        base64.b64encode(raw[:63]).decode(),
        raw.hex(),
        "\uff21" + text[1:],
        text.replace("=", "\x00"),
        "",
    ]
    url_safe = base64.urlsafe_b64encode(raw).decode()
    spellings += [url_safe] if url_safe != text else []
    for spelling in spellings:
        assert refused(with_signature(spelling)) is RefusalCode.WRONG_SIGNATURE, spelling
    assert parse(with_signature(text)).signer == CUSTOMER.address


@pytest.mark.parametrize(
    "signature",
    [None, 5, True, ["x"], {"r": "x"}, list(range(64)), {"type": "Buffer", "data": [1]}, b"x" * 64],
)
def test_a_signature_that_is_no_text_is_refused(signature: object) -> None:
    assert refused(with_signature(signature)) is RefusalCode.WRONG_SIGNATURE


@pytest.mark.parametrize("authentifiers", [None, {}, [], "x", {"r.0": "x"}, {"R": "x"}])
def test_authentifiers_of_a_wrong_shape_are_refused(authentifiers: object) -> None:
    package = announcing_package()
    author(package)["authentifiers"] = authentifiers
    assert refused(package) is RefusalCode.WRONG_SHAPE


def test_a_signature_over_anything_else_is_refused() -> None:
    package = announcing_package()
    for other in (signed_package(40_001), signed_package(40_000), signed_package(40_000, period=2)):
        author(package)["authentifiers"] = author(other)["authentifiers"]
        assert refused(package) is RefusalCode.WRONG_SIGNATURE
    assert refused(resigned(announcing_package(), STRANGER)) is RefusalCode.WRONG_SIGNATURE


@pytest.mark.parametrize("path", [path for path in EVERY_PATH if path[0] == "signed_message"], ids=str)
def test_every_field_of_the_message_is_under_the_signature(path: tuple[Any, ...]) -> None:
    package = announcing_package()
    value = package
    for name in path:
        value = value[name]
    if isinstance(value, dict):
        return
    others = {"aa_address": STRANGER.address, "address": STRANGER.address}
    put(package, path, value + 1 if isinstance(value, int) else others.get(path[-1], "other"))
    if path[-1] == "payment_amount":
        put(package, path, value - 1)
    assert refused(package) is RefusalCode.WRONG_SIGNATURE


# --- announced channels ------------------------------------------------------------------------------------


def announced_code(payee: str = PAYEE.address, **fields: object) -> RefusalCode:
    package = announcing_package()
    package["signed_message"]["channel_parameters"].update(fields)
    announced = parse(resigned(package)).announced
    assert announced is not None
    with pytest.raises(Refusal) as refusal:
        announced.parameters(payee)
    return refusal_code(refusal.value)


def test_an_announced_channel_with_an_unknown_agent_version_is_refused() -> None:
    assert announced_code(version="1.0") is RefusalCode.WRONG_AGENT_VERSION
    assert announced_code(version="1.1 ") is RefusalCode.WRONG_AGENT_VERSION


def test_an_announced_channel_with_odd_parameters_is_refused() -> None:
    assert announced_code(address="A" * 32) is RefusalCode.WRONG_PARAMETERS
    assert announced_code(asset="bytes") is RefusalCode.WRONG_PARAMETERS
    assert announced_code(asset=ASSET[:-1]) is RefusalCode.WRONG_PARAMETERS


def test_an_announced_channel_with_oneself_is_refused() -> None:
    assert announced_code(address=PAYEE.address) is RefusalCode.WRONG_PARAMETERS
    assert announced_code(payee=CUSTOMER.address) is RefusalCode.WRONG_PARAMETERS


# --- any input at all --------------------------------------------------------------------------------------


class Nothing:
    """A ledger that knows nothing: no package here names one of its units."""

    def main_chain_index(self, unit: str) -> int | None:
        return None

    def definition(self, address: str, main_chain_index: int) -> list[Any] | None:
        return None


texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["\ud800", "a\x00b", "4.0dev", "r", "base", "1.1", "sig", CUSTOMER.address, CUSTOMER.public_key]
    ),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.sampled_from([2**53 + 1, 10**400, MAX_AGENT_AMOUNT, MAX_AGENT_AMOUNT + 1]),
    st.floats(allow_nan=True, allow_infinity=True),
    texts,
)
names = st.one_of(
    texts,
    st.sampled_from(
        ["version", "signed_message", "authors", "period", "definition", "authentifiers", "pubkey"]
    ),
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5),
    max_leaves=20,
)


def check(source: object) -> PaymentPackage | None:
    """Parses anything: a package comes out that the agent honours, or a refusal that is fit to be shown."""
    refusal: Refusal | None = None
    try:
        package = parse(source)
    except Refusal as error:
        refusal = error
    if refusal is not None:
        assert refusal_code(refusal) in RefusalCode
        assert len(str(refusal)) < 300
        return None
    shown = json.loads(package.text)
    assert PackageRules(VERSION, 1, Nothing()).is_valid(shown, package.signer)
    assert is_of_the_agreed_shape(shown, VERSION)
    message = shown["signed_message"]
    assert (message["amount_spent"], message["payment_amount"]) == (
        package.amount_spent,
        package.payment_amount,
    )
    assert (message["period"], message["aa_address"]) == (package.period, package.aa_address)
    return package


@given(anything)
@example({})
@example([])
def test_any_json_is_refused_and_nothing_else_happens(value: object) -> None:
    assert check(value) is None
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):  # an integer of too many digits cannot be written
        return
    assert check(text) is None
    assert check(text.encode()) is None


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_text_or_bytes_are_refused_and_nothing_else_happens(source: str | bytes) -> None:
    assert check(source) is None


@st.composite
def mutated_packages(draw: st.DrawFn) -> Package:
    """A good package with a few changes, signed again or not."""
    package = deepcopy(announcing_package() if draw(st.booleans()) else signed_package(40_000, 10_000))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(inner_fields(package)))
        kind = draw(st.sampled_from(["replace", "take out", "add"]))
        if kind == "replace":
            put(package, path, draw(anything))
        elif kind == "take out":
            take_out(package, path)
        else:
            target: Any = package
            for name in path[:-1]:
                target = target[name]
            if isinstance(target, dict):
                target[draw(names)] = draw(anything)
        if not inner_fields(package):
            break
    if draw(st.booleans()):
        try:
            resigned(package)
        except (CanonicalError, TypeError, KeyError, AttributeError, IndexError):
            return package  # what cannot be hashed stays as it is
    return package


@given(mutated_packages())
def test_a_mutated_package_is_accepted_only_if_the_agent_honours_it(package: Package) -> None:
    parsed = check(package)
    try:
        text = json.dumps(package)
    except (ValueError, RecursionError):
        return
    for source in (text, text.encode()):
        again = check(source)
        if len(text) <= MAX_PACKAGE_BYTES:
            assert (again is None) == (parsed is None)


@given(st.data())
def test_a_mutated_text_is_accepted_only_if_the_agent_honours_it(data: st.DataObject) -> None:
    text = json.dumps(announcing_package())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 12)))
        text = text[:start] + data.draw(st.text(max_size=6)) + text[end:]
    check(text)
    check(text.encode("utf-8", "surrogatepass"))


@given(st.binary(min_size=64, max_size=64))
@settings(max_examples=50)
def test_the_signature_never_stands_in_an_error(raw: bytes) -> None:
    signature = base64.b64encode(raw).decode()
    for source in (
        with_signature(signature),
        json.dumps(with_signature(signature)),
        with_signature(signature + "="),
    ):
        with pytest.raises(Refusal) as refusal:
            parse(source)
        assert signature[:12] not in str(refusal.value)
        assert refusal.value.__cause__ is None
        assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@given(
    st.integers(1, MAX_AGENT_AMOUNT),
    st.integers(1, MAX_AGENT_AMOUNT),
    st.integers(1, MAX_AGENT_AMOUNT),
    st.booleans(),
)
@settings(max_examples=50)
def test_every_package_that_is_composed_is_accepted_by_the_agent_too(
    one: int, other: int, period: int, announces: bool
) -> None:
    package = signed_package(
        max(one, other), min(one, other), period=period, announce=PARAMETERS if announces else None
    )
    assert check(package) is not None
    assert check(json.dumps(package)) is not None
