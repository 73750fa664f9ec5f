"""A payment for a call, and what the merchant makes of it: is the receipt right, has come back what should have?

A refund is verified and booked here, in one transaction; nothing else is decided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

from paypercall import wire
from paypercall.bought_call import BoughtCall, end, give_up, take_back
from paypercall.channel import Channel
from paypercall.client import Client
from paypercall.errors import Refusal, RefusalCode
from paypercall.paying.call import Call, Head
from paypercall.paying.offer import Receipt, WrongOffer, read_receipt
from paypercall.results import Payment
from paypercall.store import Books

_NOT_KEPT = "answer_not_kept"


@dataclass(slots=True)
class Purchase:
    """A call that is paid for, until its outcome is booked.

    Attributes:
        call: What is called.
        row: Its place in the books.
        client: Who pays.
        package: The payment.
        is_over: Whether the outcome is booked.
        may_have_left: Whether the payment may have left this machine.
        is_unheeded: Whether any call of the same asker may use the payment: an answer came that says nothing of it, or
            that it was not taken.
        is_second_hand: Whether the payment was made for another call, which it may have been used for.
        is_handed_on: Whether its outcome is that of the answer's body, which the program is still to read.
        is_missed: Whether a refund for it was told to be missing.
    """

    call: Call
    row: BoughtCall
    client: Client
    package: dict[str, Any] = field(default_factory=dict, repr=False)
    is_over: bool = False
    may_have_left: bool = False
    is_unheeded: bool = False
    is_second_hand: bool = False
    is_handed_on: bool = False
    is_missed: bool = False

    @property
    def is_held(self) -> bool:
        """Whether its outcome is still to be booked, by whoever has it, or it is to be left."""
        return not (self.is_over or self.is_handed_on)

    @property
    def header(self) -> str:
        """The payment as it travels."""
        return wire.encode_package(self.package)

    @property
    def aa_address(self) -> str:
        """The channel."""
        return str(self.package["signed_message"]["aa_address"])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer to a payment is worth.

    Attributes:
        receipt: What it says of the payment, or None if that cannot be read.
        dispute: What of the receipt is not what the books say, or None.
        missing: What is wrong with the refund, or None.
        kept: What the price is kept for though most merchants would give it back, or None.
    """

    receipt: Receipt | None
    dispute: str | None
    missing: str | None
    kept: str | None = None


def weigh(purchase: Purchase, head: Head) -> Verdict:
    """Reads the receipt, and verifies and books the refund."""
    receipt, dispute = _read(purchase, head)
    refund, missing = take_refund(purchase, head)
    due = _due(purchase.row, receipt, head.status)
    if missing is None and refund < due:
        missing = f"the refund is {refund}, it should be {due}"
    return Verdict(receipt, dispute, missing, _kept(purchase.row, receipt, head) if not refund else None)


def price_of_next(ended: BoughtCall, verdict: Verdict) -> int | None:
    """What to pay for the next call like one that was answered; None if that is to be asked for."""
    receipt = verdict.receipt
    if receipt is None or verdict.missing is not None:
        return None
    if receipt.price is None:
        return None if 0 < ended.refund < ended.amount else ended.amount
    return receipt.price if 0 < receipt.price <= ended.amount else None


def price_of_last(last: BoughtCall, kept: Sequence[BoughtCall]) -> int:
    """What the last call to a resource cost, by the books, which know what was paid and what of it came back.

    A part comes back where the price has fallen, or where the view gives one back, as it does each time then.

    Args:
        last: The last call, whatever became of it.
        kept: The last two whose price was not given back.
    """
    if last.refund == last.amount:
        return last.amount
    gives_back = len(kept) > 1 and all(each.refund and each.amount == last.amount for each in kept)
    return last.amount if gives_back else last.amount - last.refund


def ending_of(verdict: Verdict) -> Callable[[BoughtCall, str], BoughtCall]:
    """What an answer makes of a call."""
    receipt = verdict.receipt
    if receipt is None:
        return give_up
    return partial(end, promised=receipt.refund)


def _read(purchase: Purchase, head: Head) -> tuple[Receipt | None, str | None]:
    text = head.headers.get(wire.RECEIPT)
    if text is None:
        return None, "there is no receipt"
    try:
        receipt = read_receipt(text)
    except WrongOffer as error:
        return None, str(error)
    return receipt, _disagreement(purchase, receipt)


def _disagreement(purchase: Purchase, receipt: Receipt) -> str | None:
    """What a receipt says that the books do not."""
    row, package = purchase.row, purchase.package["signed_message"]
    paid = (row.amount, row.asset, purchase.aa_address)
    if (receipt.amount, receipt.asset, receipt.aa_address) != paid:
        return "the receipt is for another payment"
    if receipt.refund > row.amount:
        return f"the receipt gives {receipt.refund} back of {row.amount}"
    balance = purchase.client.balance()
    if (balance.aa_address, balance.period) != (purchase.aa_address, package["period"]):
        return None
    total = receipt.accepted + receipt.credit
    if receipt.accepted < row.amount or not package["amount_spent"] <= total <= balance.owed_by_me:
        return f"the receipt states a total of {total}, {balance.owed_by_me} was signed"
    return None


def signed_call(books: Books, row: BoughtCall) -> BoughtCall:
    """Locks a call for which a payment was signed, as it is now."""
    place = books.bought_calls.lock(row)
    assert place is not None, "only that is dropped for which nothing was signed"
    return place


def take_refund(purchase: Purchase, head: Head) -> tuple[int, str | None]:
    """Verifies a refund and books it in one transaction; gives all that came back, and what is wrong with it.

    The same one again changes nothing, and is not wrong.
    """
    text, booked = head.headers.get(wire.PACKAGE), 0
    if text is None:
        return 0, None

    def book(books: Books, channel: Channel, payment: Payment) -> None:
        nonlocal booked
        row = signed_call(books, purchase.row)
        if channel.aa_address != purchase.aa_address:
            raise Refusal(RefusalCode.WRONG_PARAMETERS, "the refund is in another channel")
        # One that was accepted before pays nothing now.
        row = take_back(row, payment.amount, channel.aa_address)
        books.bought_calls.save(row)
        booked = row.refund

    try:
        payment = purchase.client.receive_refund(wire.decode_package(text), book)
    except Refusal as refusal:
        return 0, f"the refund is none: {refusal}"
    if payment.error is not None and payment.first is None:
        return 0, f"the refund is not acceptable: {payment.error} ({payment.code})"
    return (booked, None) if booked else (0, "the refund was given before, for something else")


def _kept(row: BoughtCall, receipt: Receipt | None, head: Head) -> str | None:
    """What a price is kept for that the default policy gives back; another policy may be the merchant's own."""
    if receipt is None or row.refund or not HTTPStatus.BAD_REQUEST <= head.status < 500:
        return None
    if head.headers.get(wire.CODE) == _NOT_KEPT:
        return None  # it was answered before
    return f"the answer is {head.status}, and nothing of the price comes back"


def _due(row: BoughtCall, receipt: Receipt | None, status: int) -> int:
    """What has to come back: what the receipt says, or all of it when nothing was served."""
    if status == 402 or status >= 500:
        return row.amount
    return min(row.amount, receipt.refund) if receipt is not None else 0
