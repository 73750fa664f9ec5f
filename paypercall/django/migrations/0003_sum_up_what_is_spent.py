"""Keeps sums of what is spent, so that a budget's limits are not held against each call of a day."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations

from paypercall.django.schema import Upgrade


class Migration(migrations.Migration):
    """Adds a table, and sums up all calls."""

    dependencies: ClassVar = [("paypercall", "0002_prefix_the_tables")]
    operations: ClassVar = [Upgrade("0011")]
