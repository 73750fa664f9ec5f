"""A local Obyte network in one process, for development and tests.

Its hub speaks the websocket protocol of a real one, so the client code does not know the difference.
Nothing outside of this package may ask whether it talks to a devnet.
"""

from paypercall.devnet.devnet import Devnet

__all__ = ["Devnet"]
