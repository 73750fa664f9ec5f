"""The settings of a host: their types, their defaults, and what must hold between them.

A `Conf` that exists is right: every way to make one checks it. Where the values come from is not this
module's business; `conf.example.py` explains each setting to the person who sets it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from paypercall.conf import checks
from paypercall.conf.checks import UnconfirmedLimits
from paypercall.conf.names import ConfError, check_setting_name
from paypercall.costs import DEFENCE_COST, LOWEST_LIMIT_FACTOR, SWEEPING_COST
from paypercall.obyte.amounts import BASE
from paypercall.obyte.network import LIVENET, PRIVATE_VERSION, TESTNET, Network, devnet

# A node that is down while its peer closes must have the time to come back and contest.
_MIN_TIMEOUT = 3600
_DEFAULT_TIMEOUT = 6 * 3600
_MAX_TIMEOUT = 7 * 24 * 3600
_SHORTEST_ON_PUBLIC_NETWORKS = 60
_LONGEST_TIMEOUT = 365 * 24 * 3600

_PUBLISHED = {network.name: network for network in (LIVENET, TESTNET)}
_NETWORK_NAMES = (*_PUBLISHED, "devnet")

# Under agent 1.1 a peer that closes can take back all that it paid since the last sweep, so these amounts are
# a credit given to strangers. A sweep costs up to some 15,000 bytes, under two percent of what it secures.
_UNSETTLED_BASE_BY_CHANNEL = 1_000_000
_UNSETTLED_BASE_BY_ASSET = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """All settings of a host.

    Amounts of base are in bytes, others in units of their asset; mappings are keyed by asset.

    Attributes:
        network: livenet, testnet or devnet.
        hub: The websocket address of one or several hubs; None stands for the network's public one.
        device_name: What the hub is told to call this node.
        min_channel_timeout_in_seconds: A peer's channel with a shorter timeout is refused.
        max_channel_timeout_in_seconds: A peer's channel with a longer timeout is refused.
        default_timeout_in_seconds: The timeout of the channels that this node creates.
        unconfirmed_amounts_limits_by_asset_or_channel: How far deposits count before they are confirmed. An
            asset that is not named here gets no credit for them.
        database_url: Where the books are kept, as SQLAlchemy spells it.
        data_dir: The folder of the key file.
        accepted_assets: The assets that payments are accepted in.
        max_unsettled_by_channel: What one peer may owe before its channel is swept and, meanwhile, refused.
        max_unsettled_by_asset: What all peers together may owe in channels that are worth a sweep.
        cost_of_sweep_by_asset: What a sweep costs the payee, in units of each asset: what owes no more is not swept.
        max_tps_fee: The highest TPS fee to pay for one unit, in bytes; a defence may cost what is at stake.
        reserve: Bytes of the wallet to hold back for each open channel with something at stake, to close and
            contest it.
        genesis_unit: A devnet's first unit.
        order_providers: A devnet's order providers, or the newly elected ones of a public network.
        version: A devnet's unit version.
        alt: A devnet's currency id.

    Raises:
        ConfError: A value is of a wrong type or out of range, or two of them contradict each other.
    """

    network: str = LIVENET.name
    hub: str | tuple[str, ...] | None = None
    device_name: str = "paypercall"
    min_channel_timeout_in_seconds: int = _MIN_TIMEOUT
    max_channel_timeout_in_seconds: int = _MAX_TIMEOUT
    default_timeout_in_seconds: int = _DEFAULT_TIMEOUT
    unconfirmed_amounts_limits_by_asset_or_channel: Mapping[str, UnconfirmedLimits] = field(
        default_factory=dict
    )
    database_url: str = field(default="sqlite:///paypercall.sqlite", repr=False)  # may hold a password
    data_dir: Path = Path()
    accepted_assets: tuple[str, ...] = (BASE,)
    max_unsettled_by_channel: Mapping[str, int | None] = field(default_factory=dict)
    max_unsettled_by_asset: Mapping[str, int | None] = field(default_factory=dict)
    cost_of_sweep_by_asset: Mapping[str, int] = field(default_factory=dict)
    max_tps_fee: int = 20_000
    reserve: int = 50_000
    genesis_unit: str | None = None
    order_providers: tuple[str, ...] | None = None
    version: str | None = None
    alt: str | None = None

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            if value is not None or name not in _OPTIONAL:
                object.__setattr__(self, name, check(name, value))
        self._check_timeouts()
        self._fill_in_unsettled_limits()
        self._fill_in_costs_of_sweep()
        self._check_network()

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Conf:
        """Returns the conf for settings by name; a default timeout that is not set gives way to the limits.

        Raises:
            ConfError: A name is unknown, or a value is wrong.
        """
        for name in settings:
            check_setting_name(name, SETTING_NAMES, checks.LIMIT_NAMES, _PLACE_OF_LIMITS)
        return cls(**{"default_timeout_in_seconds": _default_timeout(settings), **settings})

    @property
    def hubs(self) -> tuple[str, ...]:
        """The websocket addresses of the hubs, the preferred one first."""
        return checks.hub("hub", self.hub or self._network().hub)

    @property
    def hub_url(self) -> str:
        """The websocket address of the preferred hub."""
        return self.hubs[0]

    @property
    def keys_path(self) -> Path:
        """The file of the wallet's mnemonic."""
        return self.data_dir / "keys.json"

    def network_constants(self) -> Network:
        """Returns the constants of the network that this conf chooses."""
        return replace(self._network(), hub=self.hub_url)

    def _network(self) -> Network:
        published = _PUBLISHED.get(self.network)
        if published is not None:
            return replace(published, order_providers=self.order_providers or published.order_providers)
        given = {name: value for name in ("version", "alt") if (value := getattr(self, name)) is not None}
        return devnet(self.genesis_unit or "", self.order_providers or (), **given)

    def _check_timeouts(self) -> None:
        shortest, longest = self.min_channel_timeout_in_seconds, self.max_channel_timeout_in_seconds
        if shortest > longest:
            rule = f"at most max_channel_timeout_in_seconds ({longest})"
            raise checks.wrong("min_channel_timeout_in_seconds", rule, shortest)
        if not shortest <= self.default_timeout_in_seconds <= longest:
            rule = f"between min_ and max_channel_timeout_in_seconds ({shortest} and {longest})"
            raise checks.wrong("default_timeout_in_seconds", rule, self.default_timeout_in_seconds)

    def _fill_in_unsettled_limits(self) -> None:
        by_asset = {BASE: _UNSETTLED_BASE_BY_ASSET, **self.max_unsettled_by_asset}
        base_by_channel = _lower(_UNSETTLED_BASE_BY_CHANNEL, by_asset[BASE])
        by_channel = {BASE: base_by_channel, **self.max_unsettled_by_channel}
        for name, limits in (("max_unsettled_by_asset", by_asset), ("max_unsettled_by_channel", by_channel)):
            for asset in self.accepted_assets:
                if asset not in limits:
                    need = f'{name} must name the accepted asset "{asset}": a limit, or None for no limit'
                    raise ConfError(need, setting=name)
            object.__setattr__(self, name, limits)
        for asset, limit in by_channel.items():
            highest = by_asset.get(asset)
            if limit is not None and highest is not None and limit > highest:
                rule = f"at most max_unsettled_by_asset ({highest})"
                raise checks.wrong(f'max_unsettled_by_channel["{asset}"]', rule, limit)

    def _fill_in_costs_of_sweep(self) -> None:
        costs = {BASE: SWEEPING_COST, **self.cost_of_sweep_by_asset}
        for asset in self.accepted_assets:
            # No default is safe: customers would be paid to have channels in a worthless asset swept.
            if asset not in costs:
                need = (
                    f'cost_of_sweep_by_asset must name the accepted asset "{asset}": as many units as are worth'
                    f" {costs[BASE]} bytes, what a sweep costs"
                )
                raise ConfError(need, setting="cost_of_sweep_by_asset")
        object.__setattr__(self, "cost_of_sweep_by_asset", costs)
        for name in ("max_unsettled_by_asset", "max_unsettled_by_channel"):
            for asset, limit in getattr(self, name).items():
                # Below, a channel that is full could owe too little to be swept, and would refuse for ever.
                lowest = LOWEST_LIMIT_FACTOR * costs.get(asset, 0)
                if limit is not None and limit < lowest:
                    rule = f"at least {lowest}, {LOWEST_LIMIT_FACTOR} times cost_of_sweep_by_asset"
                    raise checks.wrong(f'{name}["{asset}"]', rule, limit)

    def _check_network(self) -> None:
        published = _PUBLISHED.get(self.network)
        if published is None:
            self._check_private_network()
            return
        # A peer could rob whoever only starts anew. The default and the longest timeout are no shorter than this one.
        shortest = self.min_channel_timeout_in_seconds
        if shortest < _SHORTEST_ON_PUBLIC_NETWORKS:
            rule = f"at least {_SHORTEST_ON_PUBLIC_NETWORKS} on {self.network}"
            raise checks.wrong("min_channel_timeout_in_seconds", rule, shortest)
        for name in ("genesis_unit", "version", "alt"):
            if getattr(self, name) is not None:
                message = f"{name} is fixed on {self.network}: remove it, or set network to devnet"
                raise ConfError(message, setting=name)
        count = len(published.order_providers)
        if self.order_providers is not None and len(self.order_providers) != count:
            rule = f"the {count} order providers of {self.network}"
            raise checks.wrong("order_providers", rule, list(self.order_providers))

    def _check_private_network(self) -> None:
        for name in ("hub", "genesis_unit", "order_providers"):
            if getattr(self, name) is None:
                message = f"{name} must be set on {self.network}: paste what `paypercall devnet` prints"
                raise ConfError(message, setting=name)
        # The keys are the same on every network: under a public version, what is signed here counts there.
        if self.version not in (None, PRIVATE_VERSION):
            rule = f"{PRIVATE_VERSION}, the only version of a devnet's units that is made and read here"
            raise checks.wrong("version", rule, self.version)


SETTING_NAMES = tuple(setting.name for setting in fields(Conf))
_PLACE_OF_LIMITS = "unconfirmed_amounts_limits_by_asset_or_channel"
_OPTIONAL = frozenset(("hub", "genesis_unit", "order_providers", "version", "alt"))


def _timeout(setting: str, value: Any) -> int:
    return checks.integer(setting, value, minimum=1, maximum=_LONGEST_TIMEOUT)


def _reserve(setting: str, value: Any) -> int:
    return checks.integer(setting, value, minimum=DEFENCE_COST)


_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "network": lambda setting, value: checks.one_of(setting, value, _NETWORK_NAMES),
    "hub": checks.hub,
    "device_name": checks.text,
    "min_channel_timeout_in_seconds": _timeout,
    "max_channel_timeout_in_seconds": _timeout,
    "default_timeout_in_seconds": _timeout,
    "unconfirmed_amounts_limits_by_asset_or_channel": checks.unconfirmed_limits,
    "database_url": checks.database_url,
    "data_dir": checks.folder,
    "accepted_assets": checks.assets,
    "max_unsettled_by_channel": checks.unsettled_amounts,
    "max_unsettled_by_asset": checks.unsettled_amounts,
    "cost_of_sweep_by_asset": checks.costs_of_sweep,
    "max_tps_fee": checks.integer,
    "reserve": _reserve,
    "genesis_unit": checks.unit_hash,
    "order_providers": checks.order_providers,
    "version": checks.text,
    "alt": checks.text,
}


def _default_timeout(settings: Mapping[str, Any]) -> int:
    limits = {"min_channel_timeout_in_seconds": _MIN_TIMEOUT, "max_channel_timeout_in_seconds": _MAX_TIMEOUT}
    shortest, longest = (_timeout(name, settings.get(name, default)) for name, default in limits.items())
    return min(max(_DEFAULT_TIMEOUT, shortest), longest)


def _lower(limit: int, other: int | None) -> int:
    return limit if other is None else min(limit, other)
