"""The settings of a host, put together from where it keeps them.

Lowest first, each overriding the one before: the defaults, the host's `conf` module, the `.env` file beside
it, the environment. Nothing is written here, and the environment of the process is left as it is.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from paypercall.conf.names import ConfError, suggestion
from paypercall.conf.project import MODULE_VARIABLE, Project, find_project, read_module
from paypercall.conf.settings import SETTING_NAMES, Conf
from paypercall.obyte.key_file import PASSPHRASE_VARIABLE
from paypercall.obyte.mnemonics import MNEMONIC_VARIABLE

_PREFIX = "PAYPERCALL_"
_OTHER_VARIABLES = (MODULE_VARIABLE, MNEMONIC_VARIABLE, PASSPHRASE_VARIABLE)
_DOTENV = ".env"
_SQLITE_FILE = re.compile(r"(?P<scheme>sqlite(\+\w+)?:///)(?!:memory:|file:)(?P<path>[^?]+)(?P<options>.*)")
_TEXTS = frozenset(("network", "device_name", "database_url", "data_dir", "genesis_unit", "version", "alt"))


def load_conf(environment: Mapping[str, str] | None = None, folder: Path | None = None) -> Conf:
    """Reads the settings of the host's project.

    Args:
        environment: The environment variables; `os.environ` by default. `PAYPERCALL_CONF` names the `conf`
            module if it is not `conf`; `PAYPERCALL_<SETTING>` overrides a setting, in JSON if it is a list or
            mapping.
        folder: The project's folder; by default the one where the `conf` module is found, else the current
            one. A relative `data_dir` and SQLite file are below it, wherever the process was started.

    Raises:
        ConfError: A name is unknown, a value is of a wrong type or out of range, or two contradict each
            other. The text is one line that names the setting and where it stands.
    """
    environment = os.environ if environment is None else environment
    project = find_project(environment, folder)
    settings: dict[str, Any] = {}
    places: dict[str, str] = {}
    for place, layer in _layers(project, environment):
        settings.update(layer)
        places.update(dict.fromkeys(layer, place))
    try:
        return _anchored(Conf.from_settings(settings), project.folder)
    except ConfError as error:
        if error.setting not in places:
            raise
        raise ConfError(f"{places[error.setting]}: {error}", setting=error.setting) from None


def load_environment(
    environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> dict[str, str]:
    """Returns the environment with the project's `.env` file below it; either may hold the mnemonic or the passphrase.

    Args:
        environment: The environment variables; `os.environ` by default.
        folder: As for `load_conf`.

    Raises:
        ConfError: There is no module of the name that `PAYPERCALL_CONF` gives.
    """
    environment = os.environ if environment is None else environment
    return {**_dotenv(find_project(environment, folder)), **environment}


def _layers(project: Project, environment: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield str(project.conf_path), read_module(project)
    dotenv_path = str(project.folder / _DOTENV)
    dotenv = _dotenv(project)
    if MODULE_VARIABLE in dotenv:
        message = f"{dotenv_path}: {MODULE_VARIABLE} belongs into the environment: it leads to this file"
        raise ConfError(message, setting=MODULE_VARIABLE)
    yield dotenv_path, _overrides(dotenv, dotenv_path)
    yield "environment", _overrides(environment, "environment")


def _dotenv(project: Project) -> dict[str, str]:
    values = dotenv_values(project.folder / _DOTENV)
    return {name: value for name, value in values.items() if value is not None}


def _overrides(variables: Mapping[str, str], place: str) -> dict[str, Any]:
    known = {name.upper(): name for name in SETTING_NAMES}
    overrides = {}
    for variable, text in variables.items():
        if not variable.startswith(_PREFIX) or variable in _OTHER_VARIABLES:
            continue
        spelling = variable.removeprefix(_PREFIX)
        if spelling not in known:
            others = [other.removeprefix(_PREFIX) for other in _OTHER_VARIABLES]
            hint = suggestion(spelling, (*known, *others), _PREFIX)
            raise ConfError(f"{place}: {variable} is no setting of paypercall{hint}", setting=variable)
        overrides[known[spelling]] = _parse(known[spelling], text)
    return overrides


def _parse(name: str, text: str) -> Any:
    """Returns the value that a text stands for; one that stands for none is left to the checks."""
    if name in _TEXTS or (name == "hub" and not text.startswith("[")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _anchored(conf: Conf, folder: Path) -> Conf:
    """Returns a conf with absolute paths: where a process starts must not decide which books it keeps."""
    return replace(
        conf, data_dir=folder / conf.data_dir, database_url=_anchored_url(conf.database_url, folder)
    )


def _anchored_url(url: str, folder: Path) -> str:
    match = _SQLITE_FILE.fullmatch(url)
    return match["scheme"] + str(folder / match["path"]) + match["options"] if match else url
