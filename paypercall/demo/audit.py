"""Collects what the account needs at the end: the ledger as it is, and each side's database, opened anew.

Reads only. What it collects is summed and compared in `accounts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial

from paypercall.demo.accounts import Account, Ledger, SideOfBooks, account_for
from paypercall.demo.expectations import wait_until
from paypercall.demo.merchant import PRICE
from paypercall.demo.stage import Stage, books_in
from paypercall.store import Store


def audit(stage: Stage) -> Account:
    """Accounts for every byte, once all sides have seen the end.

    Raises:
        DemoFailed: When a side does not see the end.
        DoesNotAddUp: When the sums differ.
    """
    with ExitStack() as opened:
        merchants = opened.enter_context(closing(Store(books_in(stage.merchant.folder))))
        customers = {
            name: opened.enter_context(closing(Store(books_in(stage.folder / name))))
            for name in stage.customers
        }
        _wait_for_the_end(merchants, customers)
        ledger = _read_ledger(stage)
        channels = stage.channels()
        sides = {
            channels[name]: _read_side(customers[name], customer.address, ledger, [channels[name]])
            for name, customer in stage.customers.items()
        }
        merchant = _read_side(merchants, stage.merchant.address, ledger, list(channels.values()))
    return account_for(
        ledger,
        merchant,
        sides,
        earned=stage.merchant.served * PRICE,
        sent_by_hand=frozenset(stage.sent_by_hand),
    )


def _wait_for_the_end(merchants: Store, customers: Mapping[str, Store]) -> None:
    ended = sum(_count_periods(store) for store in customers.values())
    wait_until(lambda: _count_periods(merchants) == ended, "the merchant sees every period end")
    for store in (merchants, *customers.values()):
        wait_until(partial(_is_finished, store), "everything that was sent is final")


def _count_periods(store: Store) -> int:
    with store.reading() as books:
        return len(books.periods.all())


def _is_finished(store: Store) -> bool:
    with store.reading() as books:
        return not books.outbox.unfinished()


def _read_ledger(stage: Stage) -> Ledger:
    addresses = [stage.merchant.address]
    addresses += [customer.address for customer in stage.customers.values()]
    addresses += stage.channels().values()
    units = [joint["unit"] for joint in stage.net.units()]
    return Ledger(
        [unit for unit in units if stage.net.sequence(unit["unit"]) == "good"],
        {address: stage.net.balance(address) for address in addresses},
    )


def _read_side(store: Store, address: str, ledger: Ledger, channels: Sequence[str]) -> SideOfBooks:
    units = [unit["unit"] for unit in ledger.units if unit["authors"][0]["address"] == address]
    with store.reading() as books:
        rows = {unit: books.outbox.by_unit(unit) for unit in units}
        return SideOfBooks(
            address,
            periods=books.periods.all(),
            received={channel: books.payments.total_accepted(channel) for channel in channels},
            sent={unit: row.id for unit, row in rows.items() if row is not None},
        )
