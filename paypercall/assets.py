"""Which assets a channel can hold: bytes, and public divisible assets whose transfer nobody can hinder."""

from __future__ import annotations

from functools import lru_cache

from paypercall.errors import Refusal, RefusalCode
from paypercall.obyte.amounts import BASE
from paypercall.obyte.light import LightClient

_HINDRANCES = {
    "is_private": True,
    "is_transferrable": False,
    "fixed_denominations": True,
    "auto_destroy": True,
    "cosigned_by_definer": True,
    "spender_attested": True,
}


@lru_cache(maxsize=256)
def require_usable_asset(asset: str, light: LightClient) -> None:
    """Checks an asset's definition on the ledger.

    Args:
        asset: `base`, or the asset's id.
        light: Gives the definition, checked by hash.

    Raises:
        Refusal: With `wrong_asset`, for an unknown, private, fixed-denomination or restricted asset.
        HubError: When the hub is out of reach.
    """
    if asset == BASE:
        return
    definition = light.asset_definition(asset)
    if definition is None:
        raise Refusal(RefusalCode.WRONG_ASSET, "the asset is not known to the ledger")
    for field, hindrance in _HINDRANCES.items():
        if definition.get(field) is hindrance:
            raise Refusal(
                RefusalCode.WRONG_ASSET, f"the asset cannot be used in a channel: {field} is {hindrance}"
            )
    if "transfer_condition" in definition:
        raise Refusal(
            RefusalCode.WRONG_ASSET, "the asset cannot be used in a channel: its transfer is restricted"
        )
