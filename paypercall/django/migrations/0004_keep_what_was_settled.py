"""Keeps what each period was settled with, and sums kept answers up from an index."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations

from paypercall.django.schema import Upgrade


class Migration(migrations.Migration):
    """Adds columns, and makes an index anew."""

    dependencies: ClassVar = [("paypercall", "0003_sum_up_what_is_spent")]
    operations: ClassVar = [Upgrade("0012")]
