"""Settings: where they come from, what they default to, and what is said about wrong ones."""

from __future__ import annotations

import dataclasses
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from paypercall.backing import HANGING_SECONDS
from paypercall.conf import Conf, ConfError, UnconfirmedLimits, load_conf, load_environment
from paypercall.conf.settings import SETTING_NAMES
from paypercall.obyte.network import LIVENET, TESTNET

ROOT = Path(__file__).parents[1]
ASSET = "LUQu5ik4WLfCrr8OwXezqBa+i3IlZLqxj2itQZQm8WY="
GENESIS_UNIT = "oj8yEksX9Ubq7lLc+p6F2uyHUuynugeVq4+ikT67X6E="
ORDER_PROVIDER = "XZ33YNFB76VTXXUGNTNHU3QSD43FSURX"
COSTS = "cost_of_sweep_by_asset"
LIMITS = "unconfirmed_amounts_limits_by_asset_or_channel"
BASE_LIMITS = {
    "max_unconfirmed_by_asset": 1_000_000,
    "max_unconfirmed_by_channel": 100_000,
    "minimum_time_in_seconds": 5,
}
DEVNET = {
    "network": "devnet",
    "hub": "ws://127.0.0.1:6611",
    "genesis_unit": GENESIS_UNIT,
    "order_providers": [ORDER_PROVIDER],
}

Load = Callable[..., Conf]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads the conf of a project with these files and environment."""

    def load_with(conf: str | None = None, dotenv: str | None = None, **environment: str) -> Conf:
        if conf is not None:
            (tmp_path / "conf.py").write_text(conf)
        if dotenv is not None:
            (tmp_path / ".env").write_text(dotenv)
        return load_conf(environment, tmp_path)

    return load_with


def refusal(settings: Mapping[str, Any]) -> str:
    """Returns the one line that these settings are answered with."""
    with pytest.raises(ConfError) as caught:
        Conf.from_settings(settings)
    assert caught.value.code == "conf"
    text = str(caught.value)
    assert "\n" not in text
    return text


# --- Where settings come from ---


def test_a_project_without_any_settings_gets_the_defaults(load: Load, tmp_path: Path) -> None:
    conf = load()
    assert conf.network == "livenet"
    assert conf.network_constants() == LIVENET
    assert conf.hubs == (LIVENET.hub,)
    assert conf.accepted_assets == ("base",)
    assert conf.data_dir == tmp_path
    assert conf.database_url == f"sqlite:///{tmp_path}/paypercall.sqlite"


def test_channels_last_for_hours_by_default_and_deposits_count_only_when_confirmed() -> None:
    conf = Conf()
    assert conf.min_channel_timeout_in_seconds == 3600
    assert conf.default_timeout_in_seconds == 6 * 3600
    assert conf.max_channel_timeout_in_seconds == 7 * 24 * 3600
    assert conf.unconfirmed_amounts_limits_by_asset_or_channel == {}


def test_the_environment_overrides_dotenv_which_overrides_the_module(load: Load) -> None:
    module = "reserve = 30_001\nmax_tps_fee = 1\ndevice_name = 'module'\n"
    conf = load(module, "PAYPERCALL_RESERVE=30002\nPAYPERCALL_MAX_TPS_FEE=2\n", PAYPERCALL_RESERVE="30003")
    assert (conf.reserve, conf.max_tps_fee, conf.device_name) == (30_003, 2, "module")


def test_structured_settings_are_json_in_the_environment(load: Load) -> None:
    conf = load(
        PAYPERCALL_HUB='["wss://one.example", "two.example/bb"]',
        PAYPERCALL_ACCEPTED_ASSETS=f'["base", "{ASSET}"]',
        PAYPERCALL_MAX_UNSETTLED_BY_CHANNEL=f'{{"{ASSET}": 100}}',
        PAYPERCALL_COST_OF_SWEEP_BY_ASSET=f'{{"{ASSET}": 5}}',
        PAYPERCALL_MAX_UNSETTLED_BY_ASSET=f'{{"{ASSET}": null, "base": null}}',
        PAYPERCALL_UNCONFIRMED_AMOUNTS_LIMITS_BY_ASSET_OR_CHANNEL=(
            '{"base": {"max_unconfirmed_by_asset": 1000000, "max_unconfirmed_by_channel": 100000,'
            ' "minimum_time_in_seconds": 5}}'
        ),
    )
    assert conf.hubs == ("wss://one.example", "wss://two.example/bb")
    assert conf.hub_url == "wss://one.example"
    assert conf.accepted_assets == ("base", ASSET)
    assert conf.max_unsettled_by_channel == {"base": 1_000_000, ASSET: 100}
    assert conf.cost_of_sweep_by_asset == {"base": 12_500, ASSET: 5}
    assert conf.max_unsettled_by_asset == {"base": None, ASSET: None}
    assert conf.unconfirmed_amounts_limits_by_asset_or_channel == {"base": UnconfirmedLimits(**BASE_LIMITS)}


def test_a_text_that_looks_like_a_number_stays_a_text(load: Load) -> None:
    assert load(PAYPERCALL_DEVICE_NAME="402").device_name == "402"


def test_the_process_environment_is_left_as_it_is(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(os.environ)
    load(dotenv="PAYPERCALL_RESERVE=30000\nOTHER=1\n")
    assert dict(os.environ) == before


@pytest.mark.parametrize("variable", ["PAYPERCALL_MNEMONIC", "PAYPERCALL_PASSPHRASE"])
def test_a_secret_may_be_in_dotenv_and_the_environment_wins(
    load: Load, tmp_path: Path, variable: str
) -> None:
    load(dotenv=f"{variable}='in the file'\n")
    assert load_environment({"A": "b"}, tmp_path) == {variable: "in the file", "A": "b"}
    given = {variable: "in the environment"}
    assert load_environment(given, tmp_path) == given


def test_names_of_the_hosts_own_are_left_alone(load: Load) -> None:
    conf = load(
        "from __future__ import annotations\n"
        "import os, logging\n"
        "from os import environ\n"
        "from pathlib import Path\n"
        "logger = logging.getLogger('shop')\n"
        "SHOP_NAME = 'shop'\n"
        "_price = 5\n"
        "class Tariff: pass\n"
        "def price(): return 5\n"
        "tariff = Tariff()\n"
        "reserve = 60_000\n"
    )
    assert conf.reserve == 60_000


def test_a_conf_module_may_define_dataclasses(load: Load) -> None:
    conf = load(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "@dataclass\n"
        "class Tariff:\n"
        "    price: int\n"
        "reserve = Tariff(30_000).price\n"
    )
    assert conf.reserve == 30_000


def test_a_plain_lower_case_name_that_is_no_setting_stops_the_start(load: Load, tmp_path: Path) -> None:
    with pytest.raises(ConfError) as caught:
        load("shop_title = 'Shop'\n")
    assert str(caught.value) == (
        f"{tmp_path}/conf.py: shop_title is no setting of paypercall;"
        " your own names need capitals or a leading underscore"
    )


def test_a_setting_that_holds_a_function_is_not_overlooked(load: Load) -> None:
    with pytest.raises(ConfError, match="database_url must be the URL of a database"):
        load("def database_url(): return 'sqlite:///shop.sqlite'\n")


@pytest.mark.parametrize(
    "files, environment, place",
    [
        ({"conf.py": "reserve = -1"}, {}, "{folder}/conf.py: reserve"),
        ({".env": "PAYPERCALL_RESERVE=-1"}, {}, "{folder}/.env: reserve"),
        ({}, {"PAYPERCALL_RESERVE": "-1"}, "environment: reserve"),
        ({"conf.py": "reserve = -1", ".env": "PAYPERCALL_RESERVE=-2"}, {}, "{folder}/.env: reserve"),
    ],
)
def test_an_error_says_where_the_wrong_value_stands(
    tmp_path: Path, files: dict[str, str], environment: dict[str, str], place: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ConfError) as caught:
        load_conf(environment, tmp_path)
    assert str(caught.value).startswith(place.format(folder=tmp_path))


@pytest.mark.parametrize(
    "variable, suggestion",
    [
        ("PAYPERCALL_DATABASE_ULR", "; did you mean PAYPERCALL_DATABASE_URL?"),
        ("PAYPERCALL_MNEMONICS", "; did you mean PAYPERCALL_MNEMONIC?"),
        ("PAYPERCALL_COLOUR", ""),
    ],
)
def test_an_unknown_variable_stops_the_start_and_its_value_is_not_shown(
    load: Load, variable: str, suggestion: str
) -> None:
    with pytest.raises(ConfError) as caught:
        load(**{variable: "top secret words"})
    assert str(caught.value) == f"environment: {variable} is no setting of paypercall{suggestion}"


def test_a_failing_conf_module_is_named_with_its_error(load: Load, tmp_path: Path) -> None:
    with pytest.raises(ConfError) as caught:
        load("import os\nhub = os.environ['THERE_IS_NO_SUCH_VARIABLE']\n")
    assert str(caught.value) == f"{tmp_path}/conf.py fails: KeyError: 'THERE_IS_NO_SUCH_VARIABLE'"
    assert isinstance(caught.value.__cause__, KeyError)


# --- Which conf module ---


def run_in(folder: Path, *arguments: str, **environment: str) -> str:
    """Returns what a Python process that starts in a folder prints."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PAYPERCALL_")}
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return result.stdout.strip()


SHOW = "from paypercall.conf import load_conf; c = load_conf(); print(c.device_name, c.data_dir)"


def test_the_conf_module_beside_the_script_comes_before_the_current_folder(tmp_path: Path) -> None:
    shop, elsewhere = tmp_path / "shop", tmp_path / "elsewhere"
    for folder in (shop, elsewhere):
        folder.mkdir()
        (folder / "conf.py").write_text(f"device_name = '{folder.name}'\n")
    (shop / "main.py").write_text(SHOW)
    assert run_in(elsewhere, str(shop / "main.py")) == f"shop {shop}"


def test_conf_in_the_current_folder_is_found_by_a_command_that_lives_elsewhere(tmp_path: Path) -> None:
    project, commands = tmp_path / "project", tmp_path / "commands"
    project.mkdir()
    commands.mkdir()
    (project / "conf.py").write_text("device_name = 'project'\n")
    (commands / "command.py").write_text(SHOW)
    assert run_in(project, str(commands / "command.py")) == f"project {project}"


def test_a_variable_names_the_conf_module_and_the_project_is_where_its_package_is(tmp_path: Path) -> None:
    (tmp_path / "shop" / "settings").mkdir(parents=True)
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "settings" / "__init__.py").write_text("device_name = 'package'\n")
    (tmp_path / "conf.py").write_text("device_name = 'conf'\n")
    assert run_in(tmp_path, "-c", SHOW, PAYPERCALL_CONF="shop.settings") == f"package {tmp_path}"


def test_a_mere_folder_called_conf_does_not_hide_the_conf_module(tmp_path: Path) -> None:
    project, commands = tmp_path / "project", tmp_path / "commands"
    project.mkdir()
    (commands / "conf").mkdir(parents=True)
    (project / "conf.py").write_text("device_name = 'project'\n")
    (commands / "command.py").write_text(SHOW)
    assert run_in(project, str(commands / "command.py")) == f"project {project}"


@pytest.mark.parametrize("name", ["shop.nowhere", "sys", "", "."])
def test_what_is_no_module_of_the_host_is_named(load: Load, name: str) -> None:
    with pytest.raises(ConfError) as caught:
        load(PAYPERCALL_CONF=name)
    assert str(caught.value) == f"PAYPERCALL_CONF must name a module that can be imported, not {name!r}"


def test_dotenv_cannot_name_the_module_that_it_lies_beside(load: Load) -> None:
    with pytest.raises(ConfError, match=r"\.env: PAYPERCALL_CONF belongs into the environment"):
        load(dotenv="PAYPERCALL_CONF=shop\n")


@pytest.mark.parametrize(
    "url, expected",
    [
        ("sqlite:///shop.sqlite", "sqlite:///{folder}/shop.sqlite"),
        (
            "sqlite+pysqlite:///data/shop.sqlite?timeout=5",
            "sqlite+pysqlite:///{folder}/data/shop.sqlite?timeout=5",
        ),
        ("sqlite:////var/shop.sqlite", "sqlite:////var/shop.sqlite"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("postgresql+psycopg://shop@localhost/shop", "postgresql+psycopg://shop@localhost/shop"),
    ],
)
def test_books_in_a_relative_file_are_below_the_project(
    load: Load, tmp_path: Path, url: str, expected: str
) -> None:
    assert load(PAYPERCALL_DATABASE_URL=url).database_url == expected.format(folder=tmp_path)


def test_a_data_dir_is_below_the_project_or_the_home_folder(load: Load, tmp_path: Path) -> None:
    assert load("data_dir = 'keys'\n").data_dir == tmp_path / "keys"
    assert load("data_dir = '~/keys'\n").keys_path == Path.home() / "keys" / "keys.json"


# --- What is wrong with a setting ---


@pytest.mark.parametrize(
    "name, answer",
    [
        ("max_tps_fees", "max_tps_fees is no setting of paypercall; did you mean max_tps_fee?"),
        (
            "minimum_time_in_second",
            "minimum_time_in_second is no setting of paypercall; did you mean minimum_time_in_seconds?",
        ),
        (
            "max_unconfirmed_by_asset",
            "max_unconfirmed_by_asset is no setting of its own:"
            f" max_unconfirmed_by_asset belongs into each asset's entry in {LIMITS}",
        ),
        ("minimumTimeInSeconds", f": minimum_time_in_seconds belongs into each asset's entry in {LIMITS}"),
        (
            "minChannelTimeoutInSeconds",
            "minChannelTimeoutInSeconds is spelled min_channel_timeout_in_seconds in paypercall",
        ),
        (
            "defaultTimeoutInSeconds",
            "defaultTimeoutInSeconds is spelled default_timeout_in_seconds in paypercall",
        ),
        ("deviceName", "deviceName is spelled device_name in paypercall"),
        ("unconfirmedAmountsLimitsByAssetOrChannel", f"is spelled {LIMITS} in paypercall"),
        ("bServeAsHub", "name the hub to use with hub"),
        ("bLight", "name the hub to use with hub"),
        ("bSingleAddress", "its key is in data_dir"),
        ("isHighAvailabilityNode", "name it with database_url"),
        ("mnemonic", "mnemonic is no setting of paypercall"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_one(name: str, answer: str) -> None:
    text = refusal({name: 5})
    assert text.startswith(name)
    assert answer in text


@pytest.mark.parametrize("spelling", ["minimum_time_in_second", "minimumTimeInSeconds"])
def test_a_wrong_name_inside_the_limits_is_answered_with_the_right_one(load: Load, spelling: str) -> None:
    limits = {**BASE_LIMITS}
    limits[spelling] = limits.pop("minimum_time_in_seconds")
    with pytest.raises(ConfError) as caught:
        load(f"{LIMITS} = {{'base': {limits!r}}}\n")
    assert str(caught.value).endswith(
        f'conf.py: {LIMITS}["base"] has no {spelling}; did you mean minimum_time_in_seconds?'
    )


INTEGERS = [
    "min_channel_timeout_in_seconds",
    "max_channel_timeout_in_seconds",
    "default_timeout_in_seconds",
    "max_tps_fee",
    "reserve",
]
NO_INTEGERS = [True, 1.0, 1.5, float("inf"), "5000", None, [5000], -1, 10**16]


@pytest.mark.parametrize("value", NO_INTEGERS)
@pytest.mark.parametrize("name", INTEGERS)
def test_a_number_must_be_an_integer_in_range(name: str, value: Any) -> None:
    assert refusal({name: value}).startswith(f"{name} must be ")


@pytest.mark.parametrize("value", NO_INTEGERS)
@pytest.mark.parametrize("name", list(BASE_LIMITS))
def test_each_limit_must_be_an_integer_in_range(name: str, value: Any) -> None:
    text = refusal({LIMITS: {"base": {**BASE_LIMITS, name: value}}})
    assert text.startswith(f'{LIMITS}["base"].{name} must be ')


@pytest.mark.parametrize("value", [number for number in NO_INTEGERS if number is not None])
@pytest.mark.parametrize("name", ["max_unsettled_by_channel", "max_unsettled_by_asset"])
def test_each_unsettled_amount_must_be_an_integer_in_range(name: str, value: Any) -> None:
    assert refusal({name: {"base": value}}).startswith(f'{name}["base"] must be ')


def test_a_float_without_a_fraction_is_answered_with_the_integer_to_write() -> None:
    assert refusal({"max_tps_fee": 1e6}) == "max_tps_fee must be an integer (write 1000000), not 1000000.0"


@pytest.mark.parametrize("name", INTEGERS[:3])
def test_a_timeout_of_nothing_is_refused(name: str) -> None:
    assert refusal({name: 0}).startswith(f"{name} must be from 1 to ")


def test_a_timeout_is_at_least_a_minute_where_others_are_and_at_most_a_year() -> None:
    limits = {"min_channel_timeout_in_seconds": 59}
    for network in ("livenet", "testnet"):
        text = refusal({"network": network, **limits})
        assert text == f"min_channel_timeout_in_seconds must be at least 60 on {network}, not 59"
    assert Conf.from_settings({**DEVNET, **limits}).min_channel_timeout_in_seconds == 59
    assert Conf(min_channel_timeout_in_seconds=60).min_channel_timeout_in_seconds == 60
    year = 365 * 24 * 3600
    assert Conf(max_channel_timeout_in_seconds=year).max_channel_timeout_in_seconds == year
    text = refusal({"max_channel_timeout_in_seconds": year + 1})
    assert text == "max_channel_timeout_in_seconds must be from 1 to 31536000, not 31536001"


def test_a_reserve_pays_for_two_commands_at_least() -> None:
    """A node that cannot defend its channels would accept payments that it cannot collect."""
    assert Conf(reserve=25_000).reserve == 25_000
    assert refusal({"reserve": 24_999}).startswith("reserve must be from 25000 to ")


@pytest.mark.parametrize("name", ["max_unsettled_by_channel", "max_unsettled_by_asset"])
def test_a_limit_on_what_is_unsettled_is_twenty_times_what_a_sweep_costs_at_least(name: str) -> None:
    """Below, a channel that is full could owe too little to be swept, and refuse for ever."""
    lowest = {"max_unsettled_by_channel": {"base": 250_000}, name: {"base": 250_000}}
    assert getattr(Conf.from_settings(lowest), name) == {"base": 250_000}
    for asset, least in (("base", 250_000), (ASSET, 140)):
        limits = {"max_unsettled_by_channel": {asset: least - 1}, name: {asset: least - 1}}
        text = refusal({**limits, COSTS: {ASSET: 7}})
        assert text == f'{name}["{asset}"] must be at least {least}, 20 times {COSTS}, not {least - 1}'
        assert refusal({name: {asset: 0}}).startswith(f'{name}["{asset}"] must be from 1 to ')


@pytest.mark.parametrize("value", NO_INTEGERS)
def test_each_cost_of_a_sweep_must_be_an_integer_in_range(value: Any) -> None:
    assert refusal({COSTS: {ASSET: value}}).startswith(f'{COSTS}["{ASSET}"] must be ')


def test_a_sweep_is_never_free_and_one_in_bytes_costs_no_less_than_its_fees() -> None:
    assert Conf().cost_of_sweep_by_asset == {"base": 12_500}
    assert Conf.from_settings({COSTS: {ASSET: 1}}).cost_of_sweep_by_asset == {"base": 12_500, ASSET: 1}
    assert refusal({COSTS: {ASSET: 0}}).startswith(f'{COSTS}["{ASSET}"] must be from 1 to ')
    assert Conf.from_settings({COSTS: {"base": 20_000}}).cost_of_sweep_by_asset == {"base": 20_000}
    assert refusal({COSTS: {"base": 12_499}}).startswith(f'{COSTS}["base"] must be from 12500 to ')


def test_what_a_sweep_costs_in_an_accepted_asset_must_be_told() -> None:
    """Nobody else knows what it is worth, and of an asset that is worth nothing, each sweep would be a loss."""
    limits = {"max_unsettled_by_asset": {ASSET: None}, "max_unsettled_by_channel": {ASSET: None}}
    text = refusal({"accepted_assets": ["base", ASSET], **limits})
    assert text == (
        f'{COSTS} must name the accepted asset "{ASSET}": as many units as are worth 12500 bytes, what a sweep costs'
    )


def test_a_deposit_counts_long_before_it_is_taken_to_hang() -> None:
    most = HANGING_SECONDS // 2
    limits = {**BASE_LIMITS, "minimum_time_in_seconds": most}
    assert Conf.from_settings({LIMITS: {"base": limits}})
    text = refusal({LIMITS: {"base": {**limits, "minimum_time_in_seconds": most + 1}}})
    assert text == f'{LIMITS}["base"].minimum_time_in_seconds must be from 0 to 1800, not 1801'


@pytest.mark.parametrize(
    "name, value",
    [
        ("network", "mainnet"),
        ("network", ["livenet"]),
        ("hub", ""),
        ("hub", 6611),
        ("hub", []),
        ("hub", ["wss://obyte.org/bb", 5]),
        ("hub", "https://obyte.org/bb"),
        ("hub", "wss://obyte.org/bb "),
        ("hub", "wss://"),
        ("device_name", ""),
        ("device_name", "shop\n"),
        ("device_name", b"shop"),
        ("data_dir", 5),
        ("data_dir", ""),
        ("accepted_assets", "base"),
        ("accepted_assets", []),
        ("accepted_assets", ["Base"]),
        ("accepted_assets", [ASSET[:-1]]),
        ("accepted_assets", {"base"}),
        ("max_unsettled_by_asset", 5),
        ("max_unsettled_by_asset", None),
        ("max_unsettled_by_asset", {5: 5}),
        ("max_unsettled_by_channel", {"bytes": 5}),
        ("cost_of_sweep_by_asset", 5),
        ("cost_of_sweep_by_asset", {"bytes": 5}),
        (LIMITS, [BASE_LIMITS]),
        (LIMITS, None),
        (LIMITS, {"base": 5}),
        (LIMITS, {"bytes": BASE_LIMITS}),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_the_setting(name: str, value: Any) -> None:
    assert refusal({name: value}).startswith(name)


@pytest.mark.parametrize(
    "value", [None, 5, "", "shop.sqlite", "mysql://shop:hunter2@localhost/shop", "://hunter2"]
)
def test_a_wrong_database_url_is_refused_without_showing_it(value: Any) -> None:
    text = refusal({"database_url": value})
    assert text.startswith("database_url must be the URL of a database")
    assert "hunter2" not in text


def test_a_conf_never_shows_the_databases_password() -> None:
    assert "hunter2" not in repr(Conf(database_url="postgresql://shop:hunter2@localhost/shop"))


def test_a_long_value_is_shown_in_part() -> None:
    assert len(refusal({"network": "x" * 10_000})) < 200


@pytest.mark.parametrize("name", list(BASE_LIMITS))
def test_limits_must_be_complete(name: str) -> None:
    limits = {key: value for key, value in BASE_LIMITS.items() if key != name}
    assert refusal({LIMITS: {"base": limits}}) == f'{LIMITS}["base"] lacks {name}'


# --- What must hold between settings ---


def test_the_shortest_timeout_may_not_be_above_the_longest() -> None:
    text = refusal({"min_channel_timeout_in_seconds": 5000, "max_channel_timeout_in_seconds": 4000})
    assert (
        text
        == "min_channel_timeout_in_seconds must be at most max_channel_timeout_in_seconds (4000), not 5000"
    )


@pytest.mark.parametrize("timeout", [999, 2001])
def test_the_default_timeout_must_be_between_the_limits(timeout: int) -> None:
    text = refusal(
        {
            "min_channel_timeout_in_seconds": 1000,
            "max_channel_timeout_in_seconds": 2000,
            "default_timeout_in_seconds": timeout,
        }
    )
    assert text.startswith("default_timeout_in_seconds must be between")


@pytest.mark.parametrize(
    "limits, expected",
    [
        ({"min_channel_timeout_in_seconds": 1000, "max_channel_timeout_in_seconds": 2000}, 2000),
        ({"min_channel_timeout_in_seconds": 100_000}, 100_000),
        ({"min_channel_timeout_in_seconds": 100}, 6 * 3600),
    ],
)
def test_a_default_timeout_that_is_not_set_gives_way_to_the_limits(
    limits: dict[str, int], expected: int
) -> None:
    assert Conf.from_settings(limits).default_timeout_in_seconds == expected


def test_a_channels_limit_may_not_be_above_the_assets() -> None:
    text = refusal({LIMITS: {"base": {**BASE_LIMITS, "max_unconfirmed_by_channel": 1_000_001}}})
    assert text.startswith(
        f'{LIMITS}["base"].max_unconfirmed_by_channel must be at most max_unconfirmed_by_asset'
    )
    text = refusal(
        {"max_unsettled_by_channel": {"base": 300_001}, "max_unsettled_by_asset": {"base": 300_000}}
    )
    assert (
        text == 'max_unsettled_by_channel["base"] must be at most max_unsettled_by_asset (300000), not 300001'
    )


def test_base_keeps_a_limit_when_another_asset_gets_one() -> None:
    conf = Conf.from_settings({"max_unsettled_by_asset": {ASSET: 5}, "max_unsettled_by_channel": {ASSET: 5}})
    assert conf.max_unsettled_by_asset == {"base": 10_000_000, ASSET: 5}
    assert conf.max_unsettled_by_channel == {"base": 1_000_000, ASSET: 5}


def test_the_default_for_a_channel_gives_way_to_a_lower_limit_for_the_asset() -> None:
    conf = Conf.from_settings({"max_unsettled_by_asset": {"base": 250_000}})
    assert conf.max_unsettled_by_channel == {"base": 250_000}


@pytest.mark.parametrize(
    "given, missing",
    [
        ({}, "max_unsettled_by_asset"),
        ({"max_unsettled_by_asset": {ASSET: None}}, "max_unsettled_by_channel"),
    ],
)
def test_an_accepted_asset_needs_a_decision_about_its_limits(given: dict[str, Any], missing: str) -> None:
    text = refusal({"accepted_assets": [ASSET], **given})
    assert text == f'{missing} must name the accepted asset "{ASSET}": a limit, or None for no limit'


# --- Networks ---


def test_a_devnet_takes_its_constants_from_the_conf() -> None:
    network = Conf.from_settings(DEVNET).network_constants()
    assert network.name == "devnet"
    assert (network.version, network.alt) == ("4.0dev", "3")
    assert (network.genesis_unit, network.order_providers) == (GENESIS_UNIT, (ORDER_PROVIDER,))
    assert network.hub == "ws://127.0.0.1:6611"
    network = Conf.from_settings({**DEVNET, "version": "4.0dev", "alt": "9"}).network_constants()
    assert (network.version, network.alt) == ("4.0dev", "9")


@pytest.mark.parametrize("name", ["hub", "genesis_unit", "order_providers"])
def test_a_devnet_needs_its_constants(name: str) -> None:
    text = refusal({key: value for key, value in DEVNET.items() if key != name})
    assert text == f"{name} must be set on devnet: paste what `paypercall devnet` prints"


@pytest.mark.parametrize("name, value", [("genesis_unit", GENESIS_UNIT), ("version", "4.0dev"), ("alt", "3")])
@pytest.mark.parametrize("network", ["livenet", "testnet"])
def test_the_constants_of_public_networks_cannot_be_changed(network: str, name: str, value: str) -> None:
    text = refusal({"network": network, name: value})
    assert text == f"{name} is fixed on {network}: remove it, or set network to devnet"


def test_newly_elected_order_providers_replace_the_known_ones() -> None:
    elected = [*TESTNET.order_providers[1:], ORDER_PROVIDER]
    conf = Conf.from_settings({"network": "testnet", "order_providers": elected})
    assert conf.network_constants().order_providers == tuple(sorted(elected))
    assert refusal({"order_providers": [ORDER_PROVIDER]}).startswith(
        "order_providers must be the 12 order providers of livenet"
    )


@pytest.mark.parametrize(
    "name, value",
    [
        ("genesis_unit", "genesis"),
        ("genesis_unit", 5),
        ("order_providers", ORDER_PROVIDER),
        ("order_providers", []),
        ("order_providers", [ORDER_PROVIDER.lower()]),
        ("order_providers", [ORDER_PROVIDER, ORDER_PROVIDER]),
        ("version", 4.0),
        ("version", "4.0"),
        ("version", "4.0t"),
        ("alt", 3),
        ("alt", ""),
    ],
)
def test_wrong_constants_of_a_devnet_are_refused(name: str, value: Any) -> None:
    assert refusal({**DEVNET, name: value}).startswith(name)


@pytest.mark.parametrize("version", ["5.0dev", "3.0dev", "4.1dev", "40.0dev", "4.0devdev"])
def test_a_version_whose_units_are_neither_made_nor_read_is_refused(version: str) -> None:
    text = refusal({**DEVNET, "version": version})
    assert text == (
        "version must be 4.0dev, the only version of a devnet's units that is made and read here,"
        f" not '{version}'"
    )


# --- Conf itself ---


def test_a_conf_cannot_be_changed_but_copied_and_sent_to_another_process() -> None:
    conf = Conf.from_settings({**DEVNET, LIMITS: {"base": BASE_LIMITS}})
    with pytest.raises(dataclasses.FrozenInstanceError):
        conf.reserve = 0  # type: ignore[misc]
    assert dataclasses.replace(conf) == conf
    assert pickle.loads(pickle.dumps(conf)) == conf


def test_a_conf_made_by_hand_is_checked_like_a_loaded_one() -> None:
    with pytest.raises(ConfError, match="reserve must be from 25000"):
        Conf(reserve=-1)


def test_a_later_change_of_the_hosts_mapping_does_not_reach_the_conf() -> None:
    limits: dict[str, int | None] = {"base": 250_000}
    conf = Conf(max_unsettled_by_asset=limits)
    limits["base"] = None
    assert conf.max_unsettled_by_asset == {"base": 250_000}


def test_the_example_names_every_setting_with_its_default(load: Load) -> None:
    defaults = load()
    text = (ROOT / "conf.example.py").read_text()
    assert sorted(re.findall(r"^([a-z]\w*) = ", text, re.MULTILINE)) == sorted(SETTING_NAMES)
    assert load(text) == defaults
