"""The schema's history for Alembic: one module under `versions` a revision, numbered from 0001.

A revision is never edited once released. It says by itself what it changes and does not import `schema`,
which moves on. A new database does not go through it: it gets the tables of `schema` at once.

In SQLite files from before revision 0010, named constraints lack the prefix `paypercall_`: find them by their columns.
"""
