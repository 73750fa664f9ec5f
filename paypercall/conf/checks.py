"""Checks of the values of settings, one function for each kind of value.

Each takes the setting's name and what the host wrote, and returns the value in its one form or raises
`ConfError` with one line that names the setting. How settings relate to each other is not decided here, nor
where they come from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from paypercall.conf.names import ConfError, check_inner_name, root
from paypercall.costs import SWEEPING_COST
from paypercall.obyte.address import HASH_LENGTH, is_valid_address, is_valid_base64
from paypercall.obyte.amounts import BASE, MAX_CAP

_LONGEST_MINIMUM_TIME = 1800
"""Seconds. In twice the time a deposit that is not confirmed hangs, and backs nothing more."""

_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class UnconfirmedLimits:
    """How far payments backed by a deposit that is not confirmed yet are accepted, for one asset.

    Attributes:
        max_unconfirmed_by_asset: At most this much over all channels, in units of the asset (bytes for base).
        max_unconfirmed_by_channel: At most this much in one channel.
        minimum_time_in_seconds: This node must have known the deposit for so long.
    """

    max_unconfirmed_by_asset: int
    max_unconfirmed_by_channel: int
    minimum_time_in_seconds: int


LIMIT_NAMES = tuple(field.name for field in fields(UnconfirmedLimits))


def wrong(setting: str, rule: str, value: object) -> ConfError:
    """Returns the error for a value that breaks a rule; it shows the beginning of the value."""
    shown = repr(value)
    if len(shown) > _LONGEST_SHOWN:
        shown = shown[:_LONGEST_SHOWN] + "…"
    return ConfError(f"{setting} must be {rule}, not {shown}", setting=root(setting))


def integer(setting: str, value: Any, minimum: int = 0, maximum: int = MAX_CAP) -> int:
    """Returns an integer within a range; neither a bool nor a float is one."""
    if isinstance(value, float) and value.is_integer():
        raise wrong(setting, f"an integer (write {value:.0f})", value)
    if type(value) is not int:
        raise wrong(setting, "an integer", value)
    if not minimum <= value <= maximum:
        raise wrong(setting, f"from {minimum} to {maximum}", value)
    return value


def text(setting: str, value: Any) -> str:
    """Returns a text that is not empty and has no control characters or blanks around it."""
    if not isinstance(value, str) or not value.isprintable() or value.strip() != value or not value:
        raise wrong(setting, "a text without control characters or blanks around it", value)
    return value


def one_of(setting: str, value: Any, choices: tuple[str, ...]) -> str:
    """Returns a text that is one of the choices."""
    if value not in choices:
        raise wrong(setting, "one of " + ", ".join(choices), value)
    return str(value)


def folder(setting: str, value: Any) -> Path:
    """Returns the path of a folder; `~` stands for the home folder."""
    if isinstance(value, Path):
        return value.expanduser()
    return Path(text(setting, value)).expanduser()


def hub(setting: str, value: Any) -> tuple[str, ...]:
    """Returns the websocket addresses of hubs, given as one text or a list; without a scheme they are `wss://`."""
    addresses = (
        (value,) if isinstance(value, str) else _items(setting, value, "a hub's address or a list of them")
    )
    return tuple(_hub_address(setting, address) for address in addresses)


def _hub_address(setting: str, value: Any) -> str:
    address = text(setting, value)
    if "://" not in address:
        address = f"wss://{address}"
    if not re.fullmatch(r"wss?://[^/\s?#]+(/\S*)?", address):
        raise wrong(setting, "a websocket address, such as wss://obyte.org/bb", value)
    return address


def database_url(setting: str, value: Any) -> str:
    """Returns the URL of an SQLite or PostgreSQL database. No error shows it: it may hold a password."""
    if not isinstance(value, str) or not re.fullmatch(r"(sqlite|postgresql)(\+\w+)?://\S*", value):
        message = (
            f"{setting} must be the URL of a database, such as sqlite:///paypercall.sqlite or postgresql://…"
        )
        raise ConfError(message, setting=setting)
    return value


def assets(setting: str, value: Any) -> tuple[str, ...]:
    """Returns a list of assets, without repetitions."""
    items = _items(setting, value, 'a list of assets, such as ["base"]')
    return tuple(dict.fromkeys(_asset(setting, item) for item in items))


def unsettled_amounts(setting: str, value: Any) -> dict[str, int | None]:
    """Returns how much may be unsettled, or None for no limit, for each asset."""
    amounts = _by_asset(setting, value, '{"base": 1000000}')
    return {asset: _unsettled(f'{setting}["{asset}"]', amount) for asset, amount in amounts.items()}


def _unsettled(setting: str, amount: Any) -> int | None:
    return None if amount is None else integer(setting, amount, minimum=1)


def costs_of_sweep(setting: str, value: Any) -> dict[str, int]:
    """Returns what a sweep costs for each asset, in its units; for base it is known."""
    costs = _by_asset(setting, value, '{"base": 12500}')
    return {
        asset: integer(f'{setting}["{asset}"]', cost, minimum=SWEEPING_COST if asset == BASE else 1)
        for asset, cost in costs.items()
    }


def unconfirmed_limits(setting: str, value: Any) -> dict[str, UnconfirmedLimits]:
    """Returns the limits on unconfirmed deposits for each asset."""
    example = '{"base": {"max_unconfirmed_by_asset": …}}'
    entries = _by_asset(setting, value, example)
    return {asset: _limits(f'{setting}["{asset}"]', entry) for asset, entry in entries.items()}


def _limits(setting: str, value: Any) -> UnconfirmedLimits:
    if isinstance(value, UnconfirmedLimits):
        value = {name: getattr(value, name) for name in LIMIT_NAMES}
    if not isinstance(value, Mapping):
        raise wrong(setting, "a mapping with " + ", ".join(LIMIT_NAMES), value)
    for name in value:
        check_inner_name(str(name), LIMIT_NAMES, setting)
    for name in LIMIT_NAMES:
        if name not in value:
            raise ConfError(f"{setting} lacks {name}", setting=root(setting))
    most = {"minimum_time_in_seconds": _LONGEST_MINIMUM_TIME}
    limits = UnconfirmedLimits(
        **{
            name: integer(f"{setting}.{name}", value[name], maximum=most.get(name, MAX_CAP))
            for name in LIMIT_NAMES
        }
    )
    if limits.max_unconfirmed_by_channel > limits.max_unconfirmed_by_asset:
        rule = f"at most max_unconfirmed_by_asset ({limits.max_unconfirmed_by_asset})"
        raise wrong(f"{setting}.max_unconfirmed_by_channel", rule, limits.max_unconfirmed_by_channel)
    return limits


def unit_hash(setting: str, value: Any) -> str:
    """Returns the hash of a unit."""
    if not is_valid_base64(value, HASH_LENGTH):
        raise wrong(setting, f"the hash of a unit ({HASH_LENGTH} characters of base64)", value)
    return str(value)


def order_providers(setting: str, value: Any) -> tuple[str, ...]:
    """Returns the addresses of order providers, sorted as the network sorts them."""
    addresses = _items(setting, value, "a list of addresses")
    for address in addresses:
        if not is_valid_address(address):
            raise wrong(setting, "a list of addresses of order providers", address)
    if len(set(addresses)) != len(addresses):
        raise ConfError(f"{setting} names an address twice", setting=setting)
    return tuple(sorted(addresses))


def _items(setting: str, value: Any, rule: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise wrong(setting, rule, value)
    return tuple(value)


def _by_asset(setting: str, value: Any, example: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise wrong(setting, f"a mapping from assets, such as {example}", value)
    return {_asset(setting, asset): entry for asset, entry in value.items()}


def _asset(setting: str, value: Any) -> str:
    if value != BASE and not is_valid_base64(value, HASH_LENGTH):
        raise wrong(setting, f'named by assets, each "base" or an id of {HASH_LENGTH} characters', value)
    return str(value)
