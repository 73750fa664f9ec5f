"""The examples, as their documents say to run them, on a local network."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import requests

from paypercall.cli.devnet import PORT as DEVNET_PORT
from paypercall.conf import load_conf, load_environment
from tests.cli.devnet_process import running_devnet
from tests.paying.merchant import Reply, Site
from tests.reader import SECONDS, free_port, fund, hub_in, run_client, running_server, the_channel_in

EVERY_SETTING = Path(__file__).parents[1] / "conf.example.py"
EXAMPLES = Path(__file__).parents[1] / "examples"
FILES = {".env", "README.md", "app.py", "conf.py"}
CALLS = """\
Zug: paid 100, answered 200: 21 degrees
Zug: paid 250, answered 200: 21 degrees, 150 returned
Atlantis: paid 100, answered 404: there is a thermometer in Zug only, 100 returned
"""


def copy_example(name: str, folder: Path, *pasted: str) -> Path:
    """Copies an example's files and pastes lines into its `.env`."""
    target = folder / name
    target.mkdir()
    for file in FILES:
        shutil.copy(EXAMPLES / name / file, target)
    with (target / ".env").open("a") as dotenv:
        dotenv.write("\n".join(("", *pasted, "")))
    return target


@pytest.mark.slow
def test_the_examples_pay_and_refund_each_other_and_keep_the_same_books(tmp_path: Path) -> None:
    with running_devnet("--speed", "10") as (_, printed):
        _, _, dotenv_lines, mnemonic_line = printed.split("\n\n")
        client = copy_example("client", tmp_path, dotenv_lines, mnemonic_line)
        server = copy_example("server", tmp_path, dotenv_lines)
        with running_server(server, "app.py", port=free_port()) as shop:
            fund(shop, hub_in(printed))
            seen = run_client(client, "app.py", shop.url)
            assert seen == CALLS + "200 bytes spent in this channel, 99800 left\n"
            seen = run_client(client, "app.py", shop.url)
            assert seen == CALLS + "400 bytes spent in this channel, 99600 left\n"
            empty = requests.post(f"{shop.url}/temperature", data={"city": "Zug"}, timeout=SECONDS)
            assert (empty.status_code, sorted(empty.json())) == (402, ["code", "error"])
    merchants, paid = the_channel_in(server)
    customers, returned = the_channel_in(client)
    assert merchants.aa_address == customers.aa_address
    assert (merchants.signed_by_peer, merchants.accepted_from_peer, customers.signed_by_me) == (900, 900, 900)
    assert (customers.signed_by_peer, customers.accepted_from_peer, merchants.signed_by_me) == (500, 500, 500)
    assert (paid, returned) == (900, 500)
    assert (server / "keys.json").exists()
    assert not (client / "keys.json").exists(), "the client got its mnemonic by .env"


@pytest.mark.slow
def test_the_examples_run_by_a_conf_that_says_every_setting_and_names_several_hubs(tmp_path: Path) -> None:
    """As on a public network, only with the constants of this one; the preferred hub is out of reach."""
    with running_devnet("--speed", "10") as (_, printed):
        _, conf_lines, _, mnemonic_line = printed.split("\n\n")
        hubs = [f"ws://127.0.0.1:{free_port()}", hub_in(printed)]
        folders = {}
        for name, pasted in (("client", mnemonic_line), ("server", "")):
            folder = folders[name] = copy_example(name, tmp_path, pasted)
            parts = (
                EVERY_SETTING.read_text(),
                (folder / "conf.py").read_text(),
                conf_lines,
                f"hub = {hubs}\n",
            )
            (folder / "conf.py").write_text("\n".join(parts))
            assert load_conf({}, folder).hubs == tuple(hubs)
        with running_server(folders["server"], "app.py", port=free_port()) as shop:
            fund(shop, hub_in(printed))
            seen = run_client(folders["client"], "app.py", shop.url)
            assert seen == CALLS + "200 bytes spent in this channel, 99800 left\n"
    assert (the_channel_in(folders["server"])[1], the_channel_in(folders["client"])[1]) == (450, 250)


@pytest.mark.parametrize("name", ["client", "server"])
def test_no_example_asks_which_network_it_is_on(name: str) -> None:
    program = (EXAMPLES / name / "app.py").read_text().lower()
    assert not [word for word in ("devnet", "testnet", "livenet", "faucet", "ws:", "wss:") if word in program]


@pytest.mark.parametrize("name", ["client", "server"])
def test_each_example_has_its_own_conf_and_readme_and_chooses_the_testnet(name: str) -> None:
    folder = EXAMPLES / name
    assert {path.name for path in folder.iterdir()} >= FILES
    conf = load_conf({}, folder)
    assert (conf.network, conf.data_dir) == ("testnet", folder)
    assert "PAYPERCALL_MNEMONIC" not in load_environment({}, folder)


def test_the_example_server_accepts_the_timeout_of_the_example_client() -> None:
    client, server = (load_conf({}, EXAMPLES / name) for name in ("client", "server"))
    shortest, longest = server.min_channel_timeout_in_seconds, server.max_channel_timeout_in_seconds
    assert shortest <= client.default_timeout_in_seconds <= longest


@pytest.mark.parametrize("name", ["client", "server"])
def test_what_the_env_file_shows_of_a_devnet_are_settings_and_the_port_is_the_devnets(name: str) -> None:
    shown = re.findall(r"^# (PAYPERCALL_\w+)=(.*)$", (EXAMPLES / name / ".env").read_text(), re.MULTILINE)
    with running_devnet() as (_, printed):
        settings = re.findall(r"^(PAYPERCALL_\w+)=", printed, re.MULTILINE)
    settings.remove("PAYPERCALL_MNEMONIC")
    if name == "client":
        settings.append("PAYPERCALL_MNEMONIC")
    assert [setting for setting, _ in shown] == settings
    assert dict(shown)["PAYPERCALL_HUB"] == f"ws://127.0.0.1:{DEVNET_PORT}"


def test_the_example_client_does_not_pay_whatever_the_server_says(tmp_path: Path) -> None:
    client, site = copy_example("client", tmp_path), Site(None)
    site.view = lambda seen: Reply(200, [], b'{"peer_address": "x", "price": 1000000000}')
    try:
        with pytest.raises(AssertionError, match="a call costs 1000000000, and 500 bytes at most are paid"):
            run_client(client, "app.py", site.url)
    finally:
        site.close()
    assert [seen.method for seen in site.seen] == ["GET"]
