"""The networks of Obyte: what tells one from another.

Only constants live here. The code runs the same way on every network, so nothing may ask which one it is on
other than by these values.
"""

from __future__ import annotations

from dataclasses import dataclass

PRIVATE_VERSION = "4.0dev"
"""The version of a private network's units: the newest, as on the public networks, and no other is made here."""


@dataclass(frozen=True, slots=True)
class Network:
    """One Obyte network.

    Attributes:
        name: For people and file names.
        version: The version of the units made on it; also stands in payment packages.
        alt: The ledger's currency id, a part of each unit.
        genesis_unit: The hash of its first unit.
        order_providers: The addresses whose units order the ledger, sorted. A majority of them proves what is
            stable. On public networks they are elected: a list that is out of date proves nothing, so the
            conf can replace it.
        hub: The websocket address of a public hub, or None where there is none.
    """

    name: str
    version: str
    alt: str
    genesis_unit: str
    order_providers: tuple[str, ...]
    hub: str | None

    @property
    def majority_of_order_providers(self) -> int:
        """How many order providers make a majority (ocore `MAJORITY_OF_WITNESSES`)."""
        return len(self.order_providers) // 2 + 1


# The order providers that the nodes began their elections with (ocore `initial_votes`).
LIVENET = Network(
    name="livenet",
    version="4.0",
    alt="1",
    genesis_unit="oj8yEksX9Ubq7lLc+p6F2uyHUuynugeVq4+ikT67X6E=",
    order_providers=(
        "2TO6NYBGX3NF5QS24MQLFR7KXYAMCIE5",
        "4GDZSXHEFVFMHCUCSHZVXBVF5T2LJHMU",
        "APABTE2IBKOIHLS2UNK6SAR4T5WRGH2J",
        "DXYWHSZ72ZDNDZ7WYZXKWBBH425C6WZN",
        "FAB6TH7IRAVHDLK2AAWY5YBE6CEBUACF",
        "FOPUBEUPBC6YLIQDLKL6EW775BMV7YOH",
        "GFK3RDAPQLLNCMQEVGGD2KCPZTLSG3HN",
        "I2ADHGP4HL6J37NQAD73J7E5SKFIXJOT",
        "JMFXY26FN76GWJJG7N36UI2LNONOGZJV",
        "JPQKPRI5FMTQRJF4ZZMYZYDQVRD55OTC",
        "TKT4UESIKTTRALRRLWS4SENSTJX6ODCW",
        "UE25S4GRWZOLNXZKY4VWFHNJZWUSYCQC",
    ),
    hub="wss://obyte.org/bb",
)

TESTNET = Network(
    name="testnet",
    version="4.0t",
    alt="2",
    genesis_unit="TvqutGPz3T4Cs6oiChxFlclY92M2MvCvfXR5/FETato=",
    order_providers=(  # the result of the first count, which ocore wrote down (`main_chain`, mci 3547796)
        "2FF7PSL7FYXVU5UIQHCVDTTPUOOG75GX",
        "2GPBEZTAXKWEXMWCTGZALIZDNWS5B3V7",
        "4H2AMKF6YO2IWJ5MYWJS3N7Y2YU2T4Z5",
        "DFVODTYGTS3ILVOQ5MFKJIERH6LGKELP",
        "ERMF7V2RLCPABMX5AMNGUQBAH4CD5TK4",
        "F4KHJUCLJKY4JV7M5F754LAJX4EB7M4N",
        "IOF6PTBDTLSTBS5NWHUSD7I2NHK3BQ2T",
        "O4K4QILG6VPGTYLRAI2RGYRFJZ7N2Q2O",
        "OPNUXBRSSQQGHKQNEPD2GLWQYEUY5XLD",
        "PA4QK46276MJJD5DBOLIBMYKNNXMUVDP",
        "RJDYXC4YQ4AZKFYTJVCR5GQJF5J6KPRI",
        "WMFLGI2GLAB2MDF2KQAH37VNRRMK7A5N",
    ),
    hub="wss://obyte.org/bb-test",
)


def devnet(
    genesis_unit: str,
    order_providers: tuple[str, ...],
    version: str = PRIVATE_VERSION,
    alt: str = "3",
    hub: str | None = None,
) -> Network:
    """Returns a private network for development and tests."""
    return Network("devnet", version, alt, genesis_unit, order_providers, hub)
