"""RIPEMD-160, the hash under every Obyte address, on every Python.

OpenSSL 3 moved it to a provider that some distributions do not load, so `hashlib` can lack it on the very
systems people use. Where it is missing, the published algorithm runs in Python: slow, but addresses are short
and cached.
Nothing but addresses may use this hash.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable

_Mixer = Callable[[int, int, int], int]
_Line = tuple[tuple[_Mixer, int, tuple[int, ...]], ...]

_WORD = 0xFFFFFFFF
_INITIAL: tuple[int, ...] = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
_IDENTITY = tuple(range(16))
_RHO = (7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9, 5, 2, 14, 11, 8)
_PI = tuple((9 * i + 5) % 16 for i in range(16))
_ROTATIONS = (  # by round and message word
    (11, 14, 15, 12, 5, 8, 7, 9, 11, 13, 14, 15, 6, 7, 9, 8),
    (12, 13, 11, 15, 6, 9, 9, 7, 12, 15, 11, 13, 7, 8, 7, 7),
    (13, 15, 14, 11, 7, 7, 6, 8, 13, 14, 13, 12, 5, 5, 6, 9),
    (14, 11, 12, 14, 8, 6, 5, 5, 15, 12, 15, 14, 9, 9, 8, 6),
    (15, 12, 13, 13, 9, 5, 8, 6, 14, 11, 12, 11, 8, 6, 5, 5),
)
_MIXERS: tuple[_Mixer, ...] = (
    lambda x, y, z: x ^ y ^ z,
    lambda x, y, z: (x & y) | (~x & z),
    lambda x, y, z: (x | ~y) ^ z,
    lambda x, y, z: (x & z) | (y & ~z),
    lambda x, y, z: x ^ (y | ~z),
)
_LEFT_CONSTANTS = (0, 0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xA953FD4E)  # 2**30 * square roots of 2, 3, 5, 7
_RIGHT_CONSTANTS = (0x50A28BE6, 0x5C4DD124, 0x6D703EF3, 0x7A6D76E9, 0)  # 2**30 * cube roots of 2, 3, 5, 7


def ripemd160(data: bytes) -> bytes:
    """Returns the 20-byte RIPEMD-160 digest."""
    try:
        return hashlib.new("ripemd160", data).digest()
    except ValueError:
        return ripemd160_in_python(data)


def ripemd160_in_python(data: bytes) -> bytes:
    """Returns the same digest without OpenSSL."""
    padding = b"\x80" + bytes(-(len(data) + 9) % 64) + struct.pack("<Q", 8 * len(data))
    padded = data + padding
    state = _INITIAL
    for start in range(0, len(padded), 64):
        words = struct.unpack_from("<16L", padded, start)
        left = _run_line(_LEFT_LINE, state, words)
        right = _run_line(_RIGHT_LINE, state, words)
        state = tuple((state[(i + 1) % 5] + left[(i + 2) % 5] + right[(i + 3) % 5]) & _WORD for i in range(5))
    return struct.pack("<5L", *state)


def _line(first_order: tuple[int, ...], mixers: tuple[_Mixer, ...], constants: tuple[int, ...]) -> _Line:
    orders = [first_order]
    while len(orders) < len(constants):
        orders.append(tuple(_RHO[i] for i in orders[-1]))
    return tuple(zip(mixers, constants, orders, strict=True))


def _run_line(line: _Line, state: tuple[int, ...], words: tuple[int, ...]) -> tuple[int, ...]:
    a, b, c, d, e = state
    for (mix, constant, order), rotations in zip(line, _ROTATIONS, strict=True):
        for index in order:
            total = (a + mix(b, c, d) + words[index] + constant) & _WORD
            rotated = _rotate(total, rotations[index]) + e
            a, b, c, d, e = e, rotated & _WORD, b, _rotate(c, 10), d
    return a, b, c, d, e


def _rotate(word: int, bits: int) -> int:
    return (word << bits | word >> (32 - bits)) & _WORD


_LEFT_LINE = _line(_IDENTITY, _MIXERS, _LEFT_CONSTANTS)
_RIGHT_LINE = _line(_PI, _MIXERS[::-1], _RIGHT_CONSTANTS)
