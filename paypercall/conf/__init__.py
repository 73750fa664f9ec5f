"""The settings of a host: what there is to set, where it is found, and what is wrong with it.

`conf.example.py` explains each setting. This package judges and hands out settings; it opens no database, no
key file and no connection with them.
"""

from __future__ import annotations

from paypercall.conf.checks import UnconfirmedLimits
from paypercall.conf.loading import load_conf, load_environment
from paypercall.conf.names import ConfError
from paypercall.conf.settings import Conf

__all__ = ["Conf", "ConfError", "UnconfirmedLimits", "load_conf", "load_environment"]
