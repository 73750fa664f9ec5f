"""The commands `devnet` and `faucet`, as processes of their own, as a person runs them."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from paypercall import __version__
from paypercall.cli import main
from paypercall.conf import load_conf, load_environment
from paypercall.devnet import Devnet
from paypercall.obyte.keys import key_from_mnemonic
from tests.cli.devnet_process import running_devnet

SECONDS = 30
ADDRESS = "XZ33YNFB76VTXXUGNTNHU3QSD43FSURX"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_devnet_runs_until_it_is_told_to_stop_and_ends_cleanly(ending: signal.Signals) -> None:
    with running_devnet() as (process, _):
        assert process.poll() is None
        process.send_signal(ending)
        _, errors = process.communicate(timeout=SECONDS)
        assert (process.returncode, errors) == (0, "")


def test_what_a_devnet_prints_can_be_pasted_into_a_project(tmp_path: Path) -> None:
    with running_devnet() as (_, printed):
        _, conf_lines, dotenv_lines, mnemonic_line = printed.split("\n\n")
    confs = []
    for name, content in {"conf.py": conf_lines, ".env": f"{dotenv_lines}\n{mnemonic_line}"}.items():
        (tmp_path / name).write_text(content)
        confs.append(load_conf({}, tmp_path))
        (tmp_path / name).rename(tmp_path / f"{name}.tried")
    assert confs[0] == confs[1]
    assert confs[0].network_constants().name == "devnet"
    assert confs[0].hub_url.startswith("ws://127.0.0.1:")
    (tmp_path / ".env.tried").rename(tmp_path / ".env")
    assert key_from_mnemonic(load_environment({}, tmp_path)["PAYPERCALL_MNEMONIC"]).address


def test_a_devnet_with_a_folder_is_the_same_network_again(tmp_path: Path) -> None:
    constants = []
    for _ in range(2):
        with running_devnet("--data", str(tmp_path / "network")) as (process, printed):
            process.terminate()
            process.wait(SECONDS)
            constants.append([line for line in printed.splitlines() if "ws://" not in line])
    assert constants[0] == constants[1]
    assert any(line.startswith("genesis_unit = ") for line in constants[0])


def test_the_faucet_pays_an_address(capsys: pytest.CaptureFixture[str]) -> None:
    with Devnet() as devnet:
        assert main(["faucet", ADDRESS, "12345", "--hub", devnet.url]) == 0
        assert devnet.balance(ADDRESS) == 12_345
        asset = devnet.issue_asset(1000)
        assert main(["faucet", ADDRESS, "10", "--asset", asset, "--hub", devnet.url]) == 0
        assert devnet.balance(ADDRESS, asset) == 10
    assert all(len(line) == 44 for line in capsys.readouterr().out.splitlines())


def test_the_faucet_says_what_is_wrong_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Devnet() as devnet:
        assert main(["faucet", ADDRESS, "10", "--asset", "gold", "--hub", devnet.url]) == 1
    assert main(["faucet", ADDRESS[:-1] + "Y", "10"]) == 1
    assert main(["faucet", ADDRESS, "10", "--hub", "http://127.0.0.1"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "paypercall: 'gold' is no asset",
        f"paypercall: {ADDRESS[:-1]}Y is no address",
        "paypercall: 'http://127.0.0.1' is no websocket address",
    ]


def test_a_taken_port_is_said_in_one_line() -> None:
    with Devnet() as devnet:
        port = devnet.url.rpartition(":")[2]
        command = [sys.executable, "-m", "paypercall", "devnet", "--port", port]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert result.returncode == 1
    assert re.fullmatch(r"paypercall: the devnet cannot start: .*address already in use\n", result.stderr)


def test_the_command_knows_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"paypercall {__version__}\n"
