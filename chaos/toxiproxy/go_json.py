"""Read and write numbers and JSON as Go does."""

from __future__ import annotations

import json
import math
import re
import struct
from decimal import Decimal

INT64_LIMIT = 2**63
MILLISECOND_NS, MICROSECOND_NS, SECOND_NS = 1_000_000, 1_000, 1_000_000_000
FLOAT32_LIMIT = 2.0**128 - 2.0**103  # beyond it, infinity is nearer
PLAIN_FROM, PLAIN_BELOW = 1e-6, 1e21  # numbers beyond are written with an exponent
ESCAPED = re.compile("[<>&\u2028\u2029]")


def int64(text: str) -> int:
    """Parse a whole number.

    Raises:
        ValueError: it is not one.
        OverflowError: it has more than 64 bits.
    """
    whole = int(text)
    if wrapped(whole) != whole:
        raise OverflowError
    return whole


def wrapped(whole: int) -> int:
    """Wrap a number to 64 bits, as after an overflow."""
    if -INT64_LIMIT <= whole < INT64_LIMIT:
        return whole
    return (whole + INT64_LIMIT) % (2 * INT64_LIMIT) - INT64_LIMIT


def seconds(amount: int, unit_ns: int) -> float:
    """Convert a duration to seconds; Go holds it as nanoseconds in 64 bits."""
    return wrapped(amount * unit_ns) / SECOND_NS


def float32(text: str) -> float:
    """Return the nearest single-precision number, in the fewest digits that identify it.

    Raises:
        OverflowError: it is out of range.
    """
    exact = _to_odd(text)
    if abs(exact) >= FLOAT32_LIMIT:
        raise OverflowError
    packed = struct.pack("<f", exact)
    (nearest,) = struct.unpack("<f", packed)
    shorter = (float(f"{nearest:.{digits}g}") for digits in range(1, 18))
    return next(
        each for each in shorter if abs(each) < FLOAT32_LIMIT and struct.pack("<f", each) == packed
    )


def text(value: object) -> str:
    """Encode as JSON, with Go's escapes for HTML."""
    if isinstance(value, dict):
        return f"{{{','.join(f'{text(key)}:{text(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(text, value))}]"
    if isinstance(value, float):
        return _digits(value)
    plain = json.dumps(value, ensure_ascii=False)
    return ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", plain)


def _to_odd(text: str) -> float:
    """Return a double that rounds to the same single as the exact number does."""
    near = float(text)
    if near == 0 or math.isinf(near):
        return near
    exact = Decimal(text)
    (bits,) = struct.unpack("<q", struct.pack("<d", near))
    if exact == Decimal(near) or bits % 2:
        return near
    return math.nextafter(near, math.inf if exact > Decimal(near) else -math.inf)


def _digits(number: float) -> str:
    if number == 0 or PLAIN_FROM <= abs(number) < PLAIN_BELOW:
        return f"{Decimal(repr(number)).normalize():f}"
    return repr(number).replace("e-0", "e-")
