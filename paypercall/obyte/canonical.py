"""The two canonical texts of a JSON value, the hashes over them, and the size it counts for.

Whatever is hashed or signed on Obyte is first written in one of two ways: the *source string* (type-tagged,
joined by NUL; address definitions, balls, everything of unit version 1.0) or the *JSON source string*
(sorted keys; everything else). Both are defined by how a JavaScript engine prints numbers and sorts
strings, so this module reproduces exactly that. It must not mend, drop or guess: a value without a
canonical form is an error.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from json.encoder import encode_basestring
from math import isfinite
from re import Match
from re import compile as compile_pattern
from typing import Any

from paypercall.obyte.errors import CanonicalError

JOIN_CHARACTER = "\x00"
LARGEST_EXACT_INTEGER = 2**53  # JavaScript has doubles only: beyond this its integers are rounded

_NUMBER_SIZE = 8
_BOOLEAN_SIZE = 1
_needs_escape = compile_pattern("[\ud800-\udfff\U00010000-\U0010ffff]")
_surrogate = compile_pattern("[\ud800-\udfff]")


def source_string(value: Any) -> str:
    """Returns the type-tagged, NUL-joined text of a JSON value (ocore `getSourceString`).

    Raises:
        CanonicalError: The value holds null, an empty object or array, a NUL character, a number that is not
            finite, or something that JSON does not know.
    """
    components: list[str] = []
    try:
        _append_components(value, components)
    except RecursionError:
        raise CanonicalError("the value is nested too deeply") from None
    return JOIN_CHARACTER.join(components)


def json_source_string(value: Any, *, allow_empty: bool = False) -> str:
    """Returns the JSON text of a value with sorted keys (ocore `getJsonSourceString`).

    Args:
        value: What `json.loads` can return.
        allow_empty: Whether empty objects and arrays are written instead of refused.

    Raises:
        CanonicalError: The value holds null, an empty object or array (unless allowed), a number that is not
            finite, or something that JSON does not know.
    """
    try:
        text = _json(value, allow_empty)
    except RecursionError:
        raise CanonicalError("the value is nested too deeply") from None
    return text if text.isascii() else _needs_escape.sub(_escape, text)


def hash_base64(value: Any) -> str:
    """Returns the base64 SHA-256 of the source string."""
    return b64encode(hashlib.sha256(encode_text(source_string(value))).digest()).decode()


def hash_base64_json(value: Any) -> str:
    """Returns the base64 SHA-256 of the JSON source string."""
    return b64encode(hashlib.sha256(json_source_string(value).encode()).digest()).decode()


def encode_text(text: str) -> bytes:
    """Returns the UTF-8 bytes of a text as JavaScript writes them: a lone surrogate becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _surrogate.sub("\ufffd", _join_surrogate_pairs(text)).encode()


def utf16_order(text: str) -> bytes:
    """The sort key that orders texts by UTF-16 code unit, as JavaScript does."""
    return text.encode("utf-16-be", "surrogatepass")


def utf16_length(text: str) -> int:
    """Returns how many UTF-16 code units a text has: its length in JavaScript."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def format_number(number: float) -> str:
    """Returns a number as JavaScript prints it: the fewest digits, an exponent only outside 1e-6..1e21.

    Raises:
        CanonicalError: The number is not finite, or an integer beyond the range of a double.
    """
    if isinstance(number, int) and -LARGEST_EXACT_INTEGER <= number <= LARGEST_EXACT_INTEGER:
        return int.__repr__(number)
    return _format_double(_finite_double(number))


def size(value: Any, *, with_keys: bool) -> int:
    """Returns how many bytes a JSON value counts for in the commissions of a unit (ocore `getLength`).

    Texts count their UTF-16 code units, numbers 8, booleans 1, null nothing.

    Raises:
        CanonicalError: The value holds a number that is not finite, or something that JSON does not know.
    """
    try:
        return _size(value, with_keys)
    except RecursionError:
        raise CanonicalError("the value is nested too deeply") from None


def _finite_double(number: float) -> float:
    try:
        double = float(number)
    except OverflowError:
        raise CanonicalError("a number is too large, not finite for JavaScript") from None
    if not isfinite(double):
        raise CanonicalError("a number is not finite")
    return double


def _format_double(double: float) -> str:
    if double == 0:
        return "0"
    if double < 0:
        return "-" + _format_double(-double)
    mantissa, _, exponent = repr(double).partition("e")
    whole, _, fraction = mantissa.partition(".")
    if fraction == "0":
        fraction = ""
    point = len(whole) + int(exponent or 0)  # where the decimal point stands, counted from the first digit
    digits = whole + fraction
    significant = digits.lstrip("0")
    point -= len(digits) - len(significant)
    significant = significant.rstrip("0")
    if 0 < point <= 21:
        if len(significant) <= point:
            return significant.ljust(point, "0")
        return f"{significant[:point]}.{significant[point:]}"
    if -6 < point <= 0:
        return "0." + "0" * -point + significant
    tail = "." + significant[1:] if len(significant) > 1 else ""
    return f"{significant[0]}{tail}e{point - 1:+d}"


def _size(value: Any, with_keys: bool) -> int:
    if value is None:
        return 0
    if isinstance(value, str):
        return utf16_length(value)
    if isinstance(value, bool):
        return _BOOLEAN_SIZE
    if isinstance(value, (int, float)):
        _finite_double(value)
        return _NUMBER_SIZE
    if isinstance(value, (list, tuple)):
        return sum([_size(element, with_keys) for element in value])
    if isinstance(value, dict):
        keys_size = sum(map(utf16_length, value)) if with_keys else 0
        return keys_size + sum([_size(element, with_keys) for element in value.values()])
    raise _unknown_type(value)


def _append_components(value: Any, components: list[str]) -> None:
    if isinstance(value, str):
        if JOIN_CHARACTER in value:
            raise CanonicalError("a text holds a NUL character")
        components += ("s", value)
    elif isinstance(value, bool):
        components += ("b", "true" if value else "false")
    elif isinstance(value, (int, float)):
        components += ("n", format_number(value))
    elif isinstance(value, (list, tuple)):
        if not value:
            raise CanonicalError("an array is empty")
        components.append("[")
        for element in value:
            _append_components(element, components)
        components.append("]")
    elif isinstance(value, dict):
        if not value:
            raise CanonicalError("an object is empty")
        for key in _sorted_keys(value):
            if JOIN_CHARACTER in key:
                raise CanonicalError("a key holds a NUL character")
            components.append(key)
            _append_components(value[key], components)
    else:
        raise _unknown_type(value)


def _json(value: Any, allow_empty: bool) -> str:
    """Writes JSON whose characters beyond the basic plane are still to be escaped."""
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, dict):
        if not value and not allow_empty:
            raise CanonicalError("an object is empty")
        fields = [f"{encode_basestring(key)}:{_json(value[key], allow_empty)}" for key in _sorted_keys(value)]
        return "{" + ",".join(fields) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return format_number(value)
    if isinstance(value, (list, tuple)):
        if not value and not allow_empty:
            raise CanonicalError("an array is empty")
        return "[" + ",".join([_json(element, allow_empty) for element in value]) + "]"
    raise _unknown_type(value)


def _escape(character: Match[str]) -> str:
    code_units = character.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{code_units[i : i + 2].hex()}" for i in range(0, len(code_units), 2))


def _sorted_keys(mapping: dict[Any, Any]) -> list[str]:
    try:
        keys = sorted(mapping)
        is_plain = "".join(keys).isascii()  # code points and UTF-16 code units order ASCII alike
    except TypeError:
        raise CanonicalError("a key is no text") from None
    return keys if is_plain else sorted(keys, key=utf16_order)


def _join_surrogate_pairs(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _unknown_type(value: Any) -> CanonicalError:
    kind = "null" if value is None else f"a {type(value).__name__}"
    return CanonicalError(f"{kind} has no canonical form")
