"""Creates the tables of the books."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations

from paypercall.django.schema import Upgrade


class Migration(migrations.Migration):
    """One of these for each revision of the books' schema that was released."""

    initial = True
    operations: ClassVar = [Upgrade("0009")]
