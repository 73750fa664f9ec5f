"""The rules of the house about who may import whom, checked on the source of every module."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import paypercall

ROOT = Path(__file__).parents[1]

# From the bottom to the top. A part may import those of lower layers and of its own.
LAYERS = (
    ("errors",),
    ("announcer", "costs", "heartbeat", "waiting"),
    ("obyte",),
    ("conf", "events"),
    ("trigger_data", "contract", "package", "backing", "channel", "decisions", "settled", "sweeping"),
    ("payment_token",),
    ("bought_call", "close_request", "paid_call", "terms", "transfer", "unit_payment", "wire"),
    ("store",),
    ("settlement",),
    ("arguments", "assets", "calls", "results", "wiring"),
    ("balances", "funds"),
    ("recovery",),
    ("unit_payer",),
    ("closing", "exposure", "publication"),
    ("party",),
    ("client", "server"),
    ("asynchronous",),
    ("call_book",),
    ("payment_server",),
    ("paywall", "methods", "paying"),
    ("flask", "django", "asgi", "requests", "httpx"),
    ("devnet",),
    ("rpc", "dashboard", "demo"),
    ("cli", "__main__"),
)
# Where the names are that the package itself hands out; everybody may know its version and its root error.
PUBLIC_NAMES = {name: home.removeprefix("paypercall.") for name, home in paypercall._HOMES.items()}
PUBLIC_NAMES |= {"PaypercallError": "errors", "__version__": "errors"}
RULES = {"costs", "trigger_data", "contract", "package", "backing", "channel", "decisions", "sweeping"}
RULES |= {"settled", "bought_call", "close_request", "paid_call", "payment_token"}
RULES |= {"terms", "transfer", "unit_payment", "wire"}
PURE_OBYTE = {"address", "canonical", "composer", "errors", "joint", "keys", "mnemonics", "network", "proof"}
PURE_OBYTE |= {
    "amounts",
    "coins",
    "final_units",
    "gathering",
    "order_providers",
    "ripemd160",
    "shape",
    "transactions",
    "unit",
    "witness_proof",
}
CLOCK_AND_CHANCE = {"datetime", "random", "time"}
OUTSIDE = {"asyncio", "io", "os", "pathlib", "socket", "sqlite3", "ssl", "subprocess", "threading", "urllib"}
# Where each library that a host may not want to load is at home.
HOMES = {
    "alembic": {"store"},
    "cryptography": {"obyte"},
    "sqlalchemy": {"store"},
    "websockets": {"obyte", "devnet"},
    "dotenv": {"conf"},
    "msgpack": {"wire"},
    "requests": {"requests", "demo", "methods"},
    "httpx": {"httpx"},
    "anyio": {"httpx", "asgi"},
    "flask": {"flask", "dashboard", "demo"},
    "werkzeug": {"flask", "dashboard", "demo"},
    "django": {"django"},
    "starlette": {"asgi"},
    "rich": {"demo", "cli"},
}


@dataclass(frozen=True)
class Module:
    """A module of the package: its dotted name without `paypercall.`, and its source."""

    name: str
    tree: ast.Module

    @property
    def part(self) -> str:
        """The part of the house that it is in: what comes after `paypercall.`."""
        return self.name.partition(".")[0]

    def imports(self) -> Iterator[str]:
        """Yields the dotted name of everything that it imports, wherever in the module."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name} has a relative import"
                yield from (f"{node.module}.{alias.name}" for alias in node.names)

    def imports_of_ours(self) -> Iterator[str]:
        """Yields the names of the modules of the package that it imports, without `paypercall.`."""
        for name in self.imports():
            root, _, rest = name.partition(".")
            if root == "paypercall" and rest:
                home = PUBLIC_NAMES.get(rest, rest)
                yield home if home in MODULES else home.rpartition(".")[0]

    def imports_of_others(self) -> Iterator[str]:
        """Yields the names of the top-level packages that it imports from elsewhere."""
        yield from (name.partition(".")[0] for name in self.imports() if not name.startswith("paypercall"))


def read_modules() -> dict[str, Module]:
    """Returns every module of the package by name."""
    modules = {}
    for path in (ROOT / "paypercall").rglob("*.py"):
        parts = path.relative_to(ROOT / "paypercall").with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        modules[name] = Module(name, ast.parse(path.read_text()))
    return modules


MODULES = read_modules()
INNER_MODULES = [module for name, module in MODULES.items() if name]  # without the package's own __init__


def is_pure(module: Module) -> bool:
    """Tells whether a module may have no effects: no clock, no chance, no files, no network."""
    return module.name in RULES or module.name in {f"obyte.{name}" for name in PURE_OBYTE}


def each(modules: Iterable[Module]) -> pytest.MarkDecorator:
    """Runs a test for each of the modules."""
    return pytest.mark.parametrize("module", list(modules), ids=lambda module: module.name)


def height(part: str) -> int:
    """Returns the number of the layer that a part is in."""
    for number, parts in enumerate(LAYERS):
        if part in parts:
            return number
    pytest.fail(f"{part} has no place in the house: give it one in LAYERS")


@each(INNER_MODULES)
def test_imports_point_downwards_only(module: Module) -> None:
    for imported in module.imports_of_ours():
        part = imported.partition(".")[0]
        assert height(part) <= height(module.part), f"{module.name} imports {imported}"


@each(module for module in INNER_MODULES if module.part == "obyte")
def test_obyte_knows_nothing_of_channels(module: Module) -> None:
    assert {name.partition(".")[0] for name in module.imports_of_ours()} <= {"errors", "announcer", "obyte"}


@each(filter(is_pure, INNER_MODULES))
def test_pure_modules_import_neither_settlement_nor_store_nor_anything_with_effects(module: Module) -> None:
    assert not (CLOCK_AND_CHANCE | OUTSIDE) & set(module.imports_of_others())
    for imported in module.imports_of_ours():
        assert imported == "errors" or is_pure(MODULES[imported]), f"{module.name} imports {imported}"


@each(module for module in INNER_MODULES if module.part == "devnet")
def test_the_devnet_builds_on_the_protocol_alone(module: Module) -> None:
    assert {name.partition(".")[0] for name in module.imports_of_ours()} <= {"errors", "obyte", "devnet"}


@each(module for module in INNER_MODULES if module.part not in {"devnet", "demo", "cli"})
def test_only_commands_and_the_demo_start_a_devnet(module: Module) -> None:
    assert "devnet" not in {name.partition(".")[0] for name in module.imports_of_ours()}


@each(INNER_MODULES)
def test_every_library_stays_at_home(module: Module) -> None:
    for library in module.imports_of_others():
        assert module.part in HOMES.get(library, {module.part}), f"{module.name} imports {library}"


def test_no_module_imports_itself_through_others() -> None:
    graph = {module.name: sorted(set(module.imports_of_ours())) for module in INNER_MODULES}
    finished: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in finished:
            for imported in graph.get(name, ()):
                visit(imported, (*path, name))
            finished.add(name)

    for name in graph:
        visit(name, ())


@each(module for module in INNER_MODULES if module.part != "devnet" and module.name != "obyte.network")
def test_nothing_asks_whether_it_is_on_a_devnet(module: Module) -> None:
    for node in ast.walk(module.tree):
        for condition in conditions(node):
            assert "devnet" not in ast.unparse(condition).lower(), f"line {node.lineno}"  # type: ignore[attr-defined]


def conditions(node: ast.AST) -> Iterator[ast.AST]:
    """Yields the expressions that decide where the program goes on at a node."""
    if isinstance(node, ast.If | ast.IfExp | ast.While | ast.Assert):
        yield node.test
    elif isinstance(node, ast.comprehension):
        yield from node.ifs
    elif isinstance(node, ast.Match):
        yield node.subject
        yield from (case.pattern for case in node.cases)
    elif isinstance(node, ast.Compare | ast.BoolOp):
        yield node


@pytest.mark.parametrize(
    "source",
    [
        "if network.name == 'devnet': pass",
        "x = 1 if is_devnet else 2",
        "while not devnet: pass",
        "y = network == DEVNET",
        "z = is_devnet or default",
        "w = [a for a in b if a.devnet]",
        "match name:\n    case 'devnet': pass",
    ],
)
def test_each_way_to_ask_for_a_devnet_is_noticed(source: str) -> None:
    found = [condition for node in ast.walk(ast.parse(source)) for condition in conditions(node)]
    assert any("devnet" in ast.unparse(condition).lower() for condition in found)
