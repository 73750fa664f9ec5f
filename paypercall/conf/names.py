"""The names of settings: which are known, and what a wrong one was probably meant to be.

Whoever comes from the JavaScript library brings its spellings; each gets an answer that names ours. Values
are none of this module's business.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches

from paypercall.errors import PaypercallError

# Settings of the JavaScript library, and of the wallet under it, that have no counterpart here.
_WITHOUT_COUNTERPART = {
    "bServeAsHub": "paypercall never serves as a hub; name the hub to use with hub",
    "bLight": "paypercall always is a light node; name the hub to use with hub",
    "bSingleAddress": "paypercall always uses one address; its key is in data_dir",
    "bStaticChangeAddress": "paypercall always uses one address; its key is in data_dir",
    "permanent_pairing_secret": "paypercall pairs with no devices",
    "control_addresses": "paypercall takes no orders over the chat",
    "enabledReceivers": "payment packages travel with your own requests",
    "httpDefaultPort": "payment packages travel with your own requests",
    "isHighAvailabilityNode": "several processes may share one database; name it with database_url",
    "app_database": "name the database with database_url",
    "storage": "name the database with database_url",
    "database": "name the database with database_url",
}


class ConfError(PaypercallError):
    """The configuration is wrong. The text is one line that names the setting.

    Attributes:
        setting: The name of the setting, as the host wrote it.
    """

    code = "conf"

    def __init__(self, message: str, *, setting: str = "") -> None:
        super().__init__(message)
        self.setting = setting


def check_setting_name(name: str, known: Collection[str], inner: Collection[str], place: str) -> None:
    """Refuses the name of a setting that is none, with the right one where there is one.

    Args:
        name: What the host wrote.
        known: The names of all settings.
        inner: The names that only stand inside a structured setting; a near one is suggested, too.
        place: That setting.

    Raises:
        ConfError: The name is not known.
    """
    if name in known:
        return
    if name in _WITHOUT_COUNTERPART:
        answer = f"is no setting of paypercall: {_WITHOUT_COUNTERPART[name]}"
    elif _in_snake_case(name) in known:
        answer = f"is spelled {_in_snake_case(name)} in paypercall"
    elif _in_snake_case(name) in inner:
        answer = (
            f"is no setting of its own: {_in_snake_case(name)} belongs into each asset's entry in {place}"
        )
    else:
        near = suggestion(_in_snake_case(name), (*known, *inner))
        answer = "is no setting of paypercall" + (
            near or "; your own names need capitals or a leading underscore"
        )
    raise ConfError(f"{name} {answer}", setting=name)


def check_inner_name(name: str, known: Collection[str], place: str) -> None:
    """Refuses a name inside a structured setting that does not belong there.

    Args:
        name: What the host wrote.
        known: The names that belong there.
        place: Where it stands, e.g. `max_unsettled_by_asset["base"]`.

    Raises:
        ConfError: The name is not known.
    """
    if name not in known:
        message = f"{place} has no {name}{suggestion(_in_snake_case(name), known)}"
        raise ConfError(message, setting=root(place))


def suggestion(name: str, known: Collection[str], prefix: str = "") -> str:
    """Returns the end of an error's text that suggests the right name, or nothing if none is near."""
    return "".join(f"; did you mean {prefix}{match}?" for match in get_close_matches(name, known, n=1))


def root(place: str) -> str:
    """Returns the name of the setting that a place is in."""
    return re.split(r"[\[.]", place)[0]


def _in_snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
