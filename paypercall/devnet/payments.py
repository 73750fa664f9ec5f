"""What a payment message may spend and pay: inputs, outputs, assets, balance.

Follows ocore's `validatePaymentInputsAndOutputs` for bytes and for public divisible assets without
conditions; other kinds of assets cannot be defined on this network.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from paypercall.devnet.books import Asset, Books, Holding, IssueKey, OutputKey
from paypercall.devnet.fees import unit_fees
from paypercall.devnet.form import Refused, is_natural, is_positive, is_text_of, require
from paypercall.devnet.graph import Graph, Sequence, Vertex
from paypercall.obyte.address import HASH_LENGTH
from paypercall.obyte.amounts import BASE, MAX_CAP
from paypercall.obyte.unit import Unit

MAX_INPUTS = 128
MAX_OUTPUTS = 128


@dataclass(slots=True)
class PaymentCheck:
    """The check of all payments of one unit.

    Attributes:
        unit: The unit under check.
        authors: Its addresses.
        parents: Its parents.
        last_ball_index: The main chain index of its last ball.
        is_spoilt: Becomes True when it spends what a unit gives that does not stand.
    """

    graph: Graph
    books: Books
    unit: Unit
    authors: tuple[str, ...]
    parents: tuple[Vertex, ...]
    last_ball_index: int
    is_spoilt: bool = False
    _used_inputs: set[str] = field(default_factory=set)
    _has_byte_payment: bool = False

    def check(self, payload: dict[str, Any]) -> None:
        """Checks one payment.

        Raises:
            Refused: With ocore's text.
        """
        if "asset" not in payload:
            require(set(payload) <= {"inputs", "outputs"}, "unknown fields in payment message")
            require(not self._has_byte_payment, "can have only one base payment")
            self._has_byte_payment = True
            self._check_byte_balance(self._check_outputs(payload), self._check_inputs(payload, None))
            return
        asset = self._find_asset(payload["asset"])
        require(set(payload) <= {"inputs", "outputs", "asset"}, "unknown fields in payment message")
        total_output = self._check_outputs(payload)
        total_input = self._check_inputs(payload, asset)
        require(
            total_input == total_output,
            f"inputs and outputs do not balance: {total_input} !== {total_output}",
        )

    def finish(self) -> None:
        """To be called after all payments.

        Raises:
            Refused: There is no payment in bytes.
        """
        require(self._has_byte_payment, "no base payment message")

    def _find_asset(self, asset_id: str) -> Asset:
        asset = self.books.assets.get(asset_id)
        require(asset is not None, f"asset {asset_id} not found")
        assert asset is not None
        index = asset.vertex.main_chain_index
        is_old = asset.vertex.is_stable and index is not None and index <= self.last_ball_index
        require(is_old, "asset definition must be before last ball")
        return asset

    def _check_outputs(self, payload: dict[str, Any]) -> int:
        outputs = payload["outputs"]
        require(len(outputs) <= MAX_OUTPUTS, "too many outputs")
        total, previous_address, previous_amount = 0, "", 0
        for output in outputs:
            address, amount = output["address"], output["amount"]
            require(set(output) <= {"address", "amount"}, "unknown fields in payment output")
            require(amount <= MAX_CAP, f"output too large: {amount}")
            require(previous_address <= address, "output addresses not sorted")
            is_sorted = previous_address != address or previous_amount <= amount
            require(is_sorted, "output amounts for same address not sorted")
            previous_address, previous_amount = address, amount
            total += amount
            require(total <= MAX_CAP, f"total output too large: {total}")
        return total

    def _check_inputs(self, payload: dict[str, Any], asset: Asset | None) -> int:
        require(len(payload["inputs"]) <= MAX_INPUTS, "too many inputs")
        total = 0
        for position, source in enumerate(payload["inputs"]):
            kind = source.get("type", "transfer")
            if kind == "issue":
                total += self._check_issue(source, position, asset)
            else:
                require(kind == "transfer", "the local network pays no commissions to spend")
                total += self._check_transfer(source, payload.get("asset", BASE))
        require(total <= MAX_CAP, f"total input too large: {total}")
        return total

    def _check_issue(self, source: dict[str, Any], position: int, asset: Asset | None) -> int:
        require(position == 0, "issue must come first")
        require(
            set(source) <= {"type", "address", "amount", "serial_number"}, "unknown fields in issue input"
        )
        require(is_positive(source.get("amount")), "amount must be positive")
        amount, number = int(source["amount"]), source.get("serial_number")
        require(amount <= MAX_CAP, f"issue amount too large: {amount}")
        require(is_positive(number), "serial_number must be positive")
        if asset is None:
            raise Refused("only genesis can issue base asset")
        issuer = self._issuer(source)
        require(issuer == asset.definer, "only definer can issue this asset")
        if "cap" in asset.properties:
            require(number == 1, "for capped asset serial_number must be 1")
            require(amount == asset.properties["cap"], "issue must be equal to cap")
        self._use_once(f"{asset.vertex.hash}-1-{issuer}-{number}")
        self._check_double_spend(IssueKey(asset.vertex.hash, int(source["serial_number"]), issuer))
        return amount

    def _issuer(self, source: dict[str, Any]) -> str:
        if len(self.authors) == 1:
            require("address" not in source, "when single-authored, must not put address in issue input")
            return self.authors[0]
        issuer = source.get("address")
        require(isinstance(issuer, str), "when multi-authored, must put address in issue input")
        require(issuer in self.authors, f"issue input address {issuer} is not an author")
        return str(issuer)

    def _check_transfer(self, source: dict[str, Any], asset: str) -> int:
        known_fields = {"type", "unit", "message_index", "output_index"}
        require(set(source) <= known_fields, "unknown fields in payment input")
        require(is_text_of(HASH_LENGTH, source.get("unit")), "wrong unit length in payment input")
        require(is_natural(source.get("message_index")), "no message_index in payment input")
        require(is_natural(source.get("output_index")), "no output_index in payment input")
        key = OutputKey(source["unit"], source["message_index"], source["output_index"])
        self._use_once(f"{asset}-{key.unit}-{key.message_index}-{key.output_index}")
        holding = self._find_output(key)
        require(holding.asset == asset, "asset mismatch")
        if holding.vertex.sequence is not Sequence.GOOD:
            self.is_spoilt = True
        require(holding.address in self.authors, "output owner is not among authors")
        if not self._is_before_last_ball(holding.vertex):
            is_included = self.graph.includes(self.parents, holding.vertex)
            require(is_included, f"input {key.unit} is not in your genes")
        self._check_double_spend(key)
        return holding.amount

    def _find_output(self, key: OutputKey) -> Holding:
        source_unit = self.graph.vertices.get(key.unit)
        require(source_unit is not None, f"input unit {key.unit} not found")
        assert source_unit is not None
        is_void = source_unit.sequence is Sequence.FINAL_BAD
        require(
            not (is_void and self._is_before_last_ball(source_unit)),
            f"spending a stable final-bad output {key.unit}",
        )
        holding = self.books.holdings.get(key)
        require(holding is not None, f"output being spent {key.unit} not found")
        assert holding is not None
        return holding

    def _is_before_last_ball(self, vertex: Vertex) -> bool:
        index = vertex.main_chain_index
        return index is not None and index <= self.last_ball_index

    def _use_once(self, name: str) -> None:
        require(name not in self._used_inputs, f"input {name} already used")
        self._used_inputs.add(name)

    def _check_double_spend(self, key: OutputKey | IssueKey) -> None:
        """Refuses a spend that the parents include; one beside them is a matter of rivals."""
        for spender in self.books.spenders.get(key, ()):
            is_included = self.graph.includes(self.parents, spender)
            require(
                not is_included,
                f"{self.unit['unit']}: conflicting divisible input in inner unit {spender.hash}",
            )

    def _check_byte_balance(self, total_output: int, total_input: int) -> None:
        unit = self.unit
        fees = [
            unit.get(name, 0)
            for name in ("headers_commission", "payload_commission", "oversize_fee", "tps_fee", "burn_fee")
        ]
        terms = " + ".join(
            str(term) for term in (total_output, *fees, 0)
        )  # the last: no votes are counted here
        require(
            total_input == total_output + unit_fees(unit),
            f"inputs and outputs do not balance: {total_input} !== {terms}",
        )
