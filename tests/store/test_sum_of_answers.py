"""What all kept answers come to is summed up from an index: the answers themselves are not read for it."""

from __future__ import annotations

from paypercall.store import Store
from paypercall.store.paid_calls import _SIZE


def test_the_sum_of_all_kept_answers_reads_an_index_alone(store: Store) -> None:
    with store.transaction() as books:
        connection = books.paid_calls._connection
        cursor, dialect = connection._cursor, connection._dialect
        query, constants = _SIZE.text_for(dialect)
        explain, wanted = "EXPLAIN QUERY PLAN", "USING COVERING INDEX"
        if dialect.name == "postgresql":
            explain, wanted = "EXPLAIN", "Index Only Scan using"
            # An empty table is read faster than any index of it.
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute(f"{explain} {query}", constants)
        plan = "\n".join(str(row[-1]) for row in cursor.fetchall())
    assert f"{wanted} ix_paypercall_stored_answers_stored_at" in plan
