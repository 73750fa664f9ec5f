"""The schema's history for Alembic: one module under `versions` a revision, numbered from 0001.

A revision is never edited once released. It says by itself what it changes and does not import `schema`,
which moves on.
"""
