"""The books in a host's database, whose own tables have the names that ours would have without their prefix."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, ForeignKey, Index, Integer, MetaData, String, Table, insert

from paypercall.devnet import Devnet
from paypercall.store import Store
from tests.parties import customer_on, merchant_on, pay
from tests.store.old_books import engine_for, rows_of, schema_of

# What SQLAlchemy recommends, and what our own names are made with.
host = MetaData(naming_convention={"pk": "pk_%(table_name)s", "fk": "fk_%(table_name)s_%(column_0_name)s"})
channels = Table("channels", host, Column("id", Integer, primary_key=True), Column("topic", String(20)))
payments = Table(
    "payments",
    host,
    Column("id", Integer, primary_key=True),
    Column("channel_id", Integer, ForeignKey("channels.id")),
    Index("ix_channels_opened", "channel_id"),
)


def add_the_hosts_tables(url: str) -> None:
    with engine_for(url).begin() as connection:
        host.create_all(connection)
        connection.execute(insert(channels), [{"id": 1, "topic": "weather"}, {"id": 2, "topic": "traffic"}])
        connection.execute(insert(payments), [{"id": 7, "channel_id": 2}])


def test_a_host_that_has_tables_called_payments_and_channels_is_paid_and_they_stay_as_they_are(
    url_without_tables: str, tmp_path: Path
) -> None:
    url = url_without_tables
    add_the_hosts_tables(url)
    tables_before, rows_before = schema_of(url), rows_of(url, host.sorted_tables)
    store = Store(url)
    store.migrate()
    store.close()
    with Devnet() as net, merchant_on(net, tmp_path / "merchant", database_url=url) as merchant:
        with customer_on(net, tmp_path / "customer", merchant.address) as customer:
            pay(customer, merchant, 10_000, times=2)
        [channel] = merchant.channels()
        assert channel.accepted_from_peer == 20_000
    assert rows_of(url, host.sorted_tables) == rows_before
    tables = schema_of(url)
    assert {name: tables[name] for name in ("channels", "payments")} == {
        name: tables_before[name] for name in ("channels", "payments")
    }
    assert all(name.startswith("paypercall_") for name in set(tables) - set(tables_before))


def test_new_books_are_not_upgraded_again_through_names_that_a_host_uses_later(
    url: str, store: Store
) -> None:
    with store.transaction() as books:
        books.node.claim("4.0", "address", now=10)
    add_the_hosts_tables(url)
    before = schema_of(url)
    store.migrate()
    with store.reading() as books:
        assert books.node.identity() is not None
    assert schema_of(url) == before
    assert rows_of(url, [payments]) == [[(7, 2)]]
