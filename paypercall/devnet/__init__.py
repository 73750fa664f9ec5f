"""A local Obyte network in one process, for development and tests.

Its hub speaks the websocket protocol of a real one, so the client code does not know the difference.
Nothing outside of this package may ask whether it talks to a devnet.

It has one witness, or several that write in turn, carries the messages that payment channels and their wallets
use, and runs channel agents only. Commissions go to nobody instead of to later units and to the witnesses, TPS
fees do not depend on the load, definitions of addresses never change, and assets are public and divisible.
"""

from paypercall.devnet.devnet import Devnet

__all__ = ["Devnet"]
