"""What a merchant tells about itself before it is paid: where to pay, and what it accepts. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class UnconfirmedTerms:
    """How far payments backed by an unconfirmed deposit are accepted, for one asset.

    Attributes:
        max_by_channel: In bytes or units of the asset, in one channel.
        max_by_asset: Over all channels of the merchant.
        minimum_seconds: How long the merchant must have known the deposit.
    """

    max_by_channel: int
    max_by_asset: int
    minimum_seconds: int


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a merchant.

    Attributes:
        address: Its address, which channels must name as the payee.
        network: The network's unit version, which packages must carry.
        agent_versions: The versions of the channel agent that it takes, the newest first.
        min_timeout: The shortest timeout of a channel that it takes, in seconds.
        max_timeout: The longest.
        assets: The assets that it accepts.
        unconfirmed: What it accepts before a deposit is confirmed, by asset; nothing where an asset is not named.
    """

    address: str
    network: str
    agent_versions: tuple[str, ...]
    min_timeout: int
    max_timeout: int
    assets: tuple[str, ...]
    unconfirmed: Mapping[str, UnconfirmedTerms] = field(default_factory=dict)
