"""Alembic's entry: runs the migrations on the connection and in the transaction that it is given, or writes them."""

from __future__ import annotations

from alembic import context

from paypercall.store.schema import VERSION_TABLE, metadata

attributes = context.config.attributes
if context.is_offline_mode():
    context.configure(
        dialect_name=attributes["dialect"],
        version_table=VERSION_TABLE,
        transactional_ddl=False,
        output_buffer=attributes["output"],
    )
else:
    context.configure(
        connection=attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
    )
context.run_migrations()
