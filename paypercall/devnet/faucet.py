"""The faucet: money for whoever asks, in bytes and in assets made on demand."""

from __future__ import annotations

from typing import Any

from paypercall.devnet.form import is_positive
from paypercall.devnet.messages import ASSET_SWITCHES
from paypercall.devnet.node import Node
from paypercall.errors import PaypercallError
from paypercall.obyte.amounts import BASE, MAX_CAP
from paypercall.obyte.composer import Draft, Output
from paypercall.obyte.keys import Key


class FaucetError(PaypercallError):
    """The faucet cannot give what was asked for."""

    code = "faucet"


class Faucet:
    """Hands out what the genesis unit gave to one key.

    Args:
        node: The network's node.
        key: The faucet's.
    """

    def __init__(self, node: Node, key: Key) -> None:
        self._node = node
        self._key = key

    def fund(self, address: str, amount: Any, asset: Any = BASE) -> str:
        """Pays an address.

        Args:
            address: Whom.
            amount: Bytes, or units of the asset.
            asset: `base`, or an asset that `issue_asset` made.

        Returns:
            The hash of the unit, which is not stable yet.

        Raises:
            FaucetError: The amount is no positive integer, or the asset no text.
            InvalidUnit: There is no such address or asset.
            InsufficientFunds: The faucet has not that much.
        """
        if not is_positive(amount) or amount > MAX_CAP:
            raise FaucetError("the amount must be a positive integer")
        if not isinstance(asset, str):
            raise FaucetError("the asset must be base or the id of one")
        return self._node.pay(self._key, Draft(outputs={asset: (Output(address, amount),)})).hash

    def issue_asset(self, amount: int) -> str:
        """Defines a public divisible asset and issues all of it to the faucet.

        On the way, everything posted so far becomes stable.

        Returns:
            The id of the asset.

        Raises:
            FaucetError: The amount is no positive integer.
        """
        if not is_positive(amount) or amount > MAX_CAP:
            raise FaucetError("the amount must be a positive integer")
        properties = {"cap": amount, **ASSET_SWITCHES}
        with self._node.lock:
            asset = self._node.pay(self._key, Draft(messages=({"app": "asset", "payload": properties},))).hash
            self._node.settle()
            issue = {
                "asset": asset,
                "inputs": [{"type": "issue", "amount": amount, "serial_number": 1}],
                "outputs": [{"address": self._key.address, "amount": amount}],
            }
            self._node.pay(self._key, Draft(messages=({"app": "payment", "payload": issue},)))
            self._node.settle()
        return asset
