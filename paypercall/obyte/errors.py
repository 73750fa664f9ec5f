"""The errors of the Obyte layer, each with its stable code.

They say what the protocol, the hub or the wallet refused. No text of them may quote a private key or a
mnemonic, or data of a peer at length; nothing here knows of channels.
"""

from __future__ import annotations

from paypercall.errors import PaypercallError


class ObyteError(PaypercallError):
    """The root of what can go wrong with the Obyte protocol."""

    code = "obyte"


class CanonicalError(ObyteError, ValueError):
    """A value has no canonical form, so it can be neither hashed nor signed."""

    code = "no_canonical_form"


class InvalidMnemonic(ObyteError, ValueError):
    """The words are no BIP39 mnemonic. The text never repeats them."""

    code = "invalid_mnemonic"


class InvalidPrivateKey(ObyteError, ValueError):
    """Bytes are no private key. The text never repeats them."""

    code = "invalid_private_key"


class KeyFileError(ObyteError):
    """The file that holds the mnemonic cannot be used. The text never repeats the words or the passphrase.

    The codes: `key_file` (it cannot be read or written), `key_file_damaged`, `key_file_version`,
    `key_file_open_to_others`, `key_file_missing`, `key_file_exists`, `wrong_network`, `passphrase_missing`,
    `passphrase_wrong`, `extra_missing`.
    """

    code = "key_file"


class SealBroken(ObyteError):
    """An encrypted text is malformed, or its parameters are beyond the limits."""

    code = "seal_broken"


class WrongPassphrase(ObyteError):
    """An encrypted text does not open: the passphrase is another one, or the text was tampered with."""

    code = "passphrase_wrong"


class InvalidUnit(ObyteError, ValueError):
    """A unit contradicts itself: a wrong hash, size, address or signature."""

    code = "invalid_unit"


class UnitTooLarge(ObyteError, ValueError):
    """A unit has more inputs, outputs or bytes than the network carries."""

    code = "unit_too_large"


class ProofError(ObyteError):
    """A history of the hub does not prove what it claims."""

    code = "invalid_proof"


class HubError(ObyteError):
    """The hub could not be asked, or its answer could not be understood."""

    code = "hub"


class HubTimeout(HubError):
    """The hub did not answer in time; whether it acted is unknown."""

    code = "hub_timeout"


class HubRefused(HubError):
    """The hub understood and said no; the text is the hub's own."""

    code = "hub_refused"


class HistoryTooLarge(HubRefused):
    """A wallet has more new units than any hub gives a light node, also in parts: coins are missing.

    Args:
        address: The wallet's.
    """

    code = "history_too_large"

    def __init__(self, address: str) -> None:
        super().__init__(
            f"{address} has more new units than a hub gives a light node, and the older coins among them are missing:"
            " use the newest database of this wallet, or move its coins to a new wallet with a full node"
        )


class InsufficientFunds(ObyteError):
    """The spendable coins do not cover the outputs and the fees."""

    code = "insufficient_funds"


class TooManyCoins(InsufficientFunds):
    """The coins would do, but not as many of them as fit into one unit: they must be consolidated first.

    Args:
        message: What was needed and what fits.
        asset: "base" or the asset's id.
    """

    code = "too_many_coins"

    def __init__(self, message: str, asset: str) -> None:
        super().__init__(message)
        self.asset = asset


class FeeTooHigh(ObyteError):
    """The network asks for a higher TPS fee than the owner allows."""

    code = "fee_too_high"
