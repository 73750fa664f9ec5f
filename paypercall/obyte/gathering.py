"""Moves coins as a whole: the largest of an asset, as many as fit into a unit, to one address. Pure.

To one's own address this makes one coin of many; to another one, again and again, it empties the wallet. Dust that
costs more than it brings is left where it is.
"""

from __future__ import annotations

from collections.abc import Iterable

from paypercall.obyte.amounts import BASE
from paypercall.obyte.composer import INPUT_BYTES, Coin, Draft, Output
from paypercall.obyte.errors import InsufficientFunds

MAX_BYTE_COINS = 100
"""Byte coins that fit into a unit, with a definition and a signature, and below the size that owes a further fee."""

MAX_ASSET_COINS = 80
"""Coins of an asset that do, and leave room for the byte coins that pay the fees."""


def coins_of_worth(coins: Iterable[Coin], asset: str) -> list[Coin]:
    """The coins of an asset that bring more than the bytes of their input cost, the largest first."""
    least = INPUT_BYTES if asset == BASE else 0
    found = [coin for coin in coins if coin.asset == asset and coin.amount > least]
    return sorted(found, key=lambda coin: (-coin.amount, coin.unit, coin.message_index, coin.output_index))


def gather(
    coins: Iterable[Coin], asset: str, address: str, must_spend: tuple[Coin, ...]
) -> tuple[Draft, tuple[Coin, ...]]:
    """Says what a unit does that moves the largest coins of an asset, all of bytes less the fees.

    Args:
        coins: What may be spent.
        asset: "base" or the asset's id.
        address: Where to.
        must_spend: Byte coins to spend in any case.

    Returns:
        The draft, and all coins that the unit must spend.

    Raises:
        InsufficientFunds: No coin is worth moving.
    """
    most = MAX_BYTE_COINS if asset == BASE else MAX_ASSET_COINS
    others = set(must_spend)
    chosen = [coin for coin in coins_of_worth(coins, asset) if coin not in others][:most]
    if not chosen and (asset != BASE or not must_spend):
        raise InsufficientFunds(f"there is no coin of {asset} that is worth moving")
    if asset == BASE:
        return Draft(change_to=address), (*must_spend, *chosen)
    total = sum(coin.amount for coin in chosen)
    return Draft({asset: (Output(address, total),)}), (*must_spend, *chosen)
