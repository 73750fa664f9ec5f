"""Arguments that make no sense are answered with the usage of the command that they were given to."""

from __future__ import annotations

import pytest

from paypercall.cli import main

ADDRESS = "XZ33YNFB76VTXXUGNTNHU3QSD43FSURX"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "mine",
        "devnet --speed 0",
        "devnet --speed nan",
        "devnet --speed fast",
        "devnet --port 65536",
        "faucet",
        f"faucet {ADDRESS} 0",
        f"faucet {ADDRESS} 1.5",
        f"faucet {ADDRESS} 9000000000000001",
        "wallet",
        "wallet mine",
        "wallet send",
        f"wallet send {ADDRESS}",
        f"wallet send {ADDRESS} 0",
        f"wallet send {ADDRESS} 1.5",
        f"wallet send {ADDRESS} 9000000000000001",
        "wallet sweep-out",
        "demo --calls 0",
        "demo --calls -1",
        "demo --calls many",
        "demo --calls 1.5",
        "demo --calls 10001",
    ],
)
def test_wrong_arguments_are_answered_with_the_usage(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = line.split()
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    command = arguments[0] if arguments and arguments[0] != "mine" else ""
    assert capsys.readouterr().err.startswith(f"usage: paypercall {command}")
