"""Begins the names of the tables of the books with `paypercall_`, so that none is that of another app's."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations

from paypercall.django.schema import Upgrade


class Migration(migrations.Migration):
    """Renames; a database that has had no tables of the books before has the new names already."""

    dependencies: ClassVar = [("paypercall", "0001_create_tables")]
    operations: ClassVar = [Upgrade("0010")]
