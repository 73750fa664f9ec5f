"""Finds the `conf` module of the host's project, and reads the settings out of it.

The module is the host's own Python file, and may hold other things. A name in it is a setting of paypercall
if it starts with a lower-case letter and holds a plain value (a text, number, path, None, list, tuple, set or
dict). So modules, functions, classes, other objects, `CAPITALS` and `_private` names are the host's, and yet
a mistyped setting is found. The name of a setting always is one, whatever it holds. No value is judged here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from paypercall.conf.checks import UnconfirmedLimits
from paypercall.conf.names import ConfError
from paypercall.conf.settings import SETTING_NAMES

MODULE_VARIABLE = "PAYPERCALL_CONF"

_MODULE_NAME = "conf"
_NAME_OF_FILE = "paypercall_host_conf"  # not `conf`, which the host may import from another folder
_PLAIN_TYPES = (
    str,
    bytes,
    int,
    float,
    Path,
    list,
    tuple,
    set,
    frozenset,
    dict,
    UnconfirmedLimits,
    type(None),
)


@dataclass(frozen=True, slots=True)
class Project:
    """Where the host's settings are.

    Attributes:
        folder: The project's folder: it holds the `conf` module and `.env`, and by default the key file and
            the books.
        conf_path: The file of the `conf` module, or None if there is none.
        module_name: The name to import the module by; None if only its file is known.
    """

    folder: Path
    conf_path: Path | None = None
    module_name: str | None = None


def find_project(environment: Mapping[str, str], folder: Path | None) -> Project:
    """Finds the host's project.

    The module that `PAYPERCALL_CONF` names comes first, then (unless a folder is given) a `conf` module that
    Python can import, which is the one beside the script that runs, then `conf.py` in the folder.

    Args:
        environment: Where `PAYPERCALL_CONF` may be.
        folder: The project's folder, if the caller knows it; None stands for the one that the module is found
            in, or else the current one.

    Raises:
        ConfError: There is no module of the name that `PAYPERCALL_CONF` gives.
    """
    here = (folder or Path.cwd()).absolute()
    name = environment.get(MODULE_VARIABLE)
    if name is not None:
        with _importable(here):
            specification = _find(name)
        if specification is None:
            message = f"{MODULE_VARIABLE} must name a module that can be imported, not {name!r}"
            raise ConfError(message, setting=MODULE_VARIABLE)
        return _project_of(specification, folder)
    specification = _find(_MODULE_NAME) if folder is None else None
    if specification is not None:
        return _project_of(specification, folder)
    path = here / f"{_MODULE_NAME}.py"
    return Project(here, path if path.is_file() else None)


def read_module(project: Project) -> dict[str, Any]:
    """Runs the project's `conf` module and returns the settings in it by name.

    Raises:
        ConfError: The module fails.
    """
    if project.conf_path is None:
        return {}
    try:
        content = _run(project, project.conf_path)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ConfError(f"{project.conf_path} fails: {type(error).__name__}: {reason}") from error
    return {name: value for name, value in content.items() if _is_setting(name, value)}


def _is_setting(name: str, value: object) -> bool:
    return name in SETTING_NAMES or (name[:1].islower() and isinstance(value, _PLAIN_TYPES))


def _run(project: Project, path: Path) -> dict[str, Any]:
    if project.module_name is not None:
        with _importable(project.folder):
            return vars(import_module(project.module_name))
    specification = spec_from_file_location(_NAME_OF_FILE, path)
    if specification is None or specification.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = module_from_spec(specification)
    sys.modules[_NAME_OF_FILE] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return vars(module)


def _find(name: str) -> ModuleSpec | None:
    try:
        specification = find_spec(name)
    except (ImportError, ValueError):
        return None
    has_file = specification is not None and specification.has_location  # a mere folder of that name has none
    return specification if has_file else None


def _project_of(specification: ModuleSpec, folder: Path | None) -> Project:
    path = Path(str(specification.origin)).absolute()
    levels = specification.name.count(".") + (path.name == "__init__.py")
    return Project(folder or path.parents[levels], path, specification.name)


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Lets modules in a folder be imported, which a console script does not do for the current one."""
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
