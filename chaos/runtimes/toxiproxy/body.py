"""Reads request bodies by the rules of Go's JSON decoder, since Toxiproxy's clients meet those.

Field names match in any case, unknown fields and null are passed over, and whatever follows the
first JSON value is ignored. A whole number must be written as one: 5, not 5.0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from chaos.runtimes.toxiproxy.errors import bad_body

Fields = Mapping[str, Any]
T = TypeVar("T")
WIRE_NAMES: dict[type, str] = {
    str: "string",
    bool: "bool",
    int: "number",
    float: "number",
    list: "array",
    dict: "object",
}
INT64_LIMIT = 2**63


def parse(body: bytes) -> Any:
    """The first JSON value of a body.

    Raises:
        ApiError: 400, there is none.
    """
    try:
        text = body.decode().lstrip(" \t\r\n")
        if not text:
            raise bad_body("EOF")
        return json.JSONDecoder().raw_decode(text)[0]
    except ValueError as problem:
        raise bad_body(str(problem)) from None


def as_fields(value: object) -> Fields:
    """The fields of a JSON object by their lower-case names; null counts as an empty object.

    Raises:
        ApiError: 400, it is another kind of value.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_body(f"cannot read {_name_of(value)}, it must be an object")
    return {name.lower(): each for name, each in value.items() if each is not None}


def text(fields: Fields, name: str, default: str = "") -> str:
    """A string field."""
    return _typed(fields, name, str, default)


def flag(fields: Fields, name: str, default: bool) -> bool:
    """A field that is true or false."""
    return _typed(fields, name, bool, default)


def number(fields: Fields, name: str, default: float) -> float:
    """A number with or without a fraction."""
    whole_or_not = fields.get(name, default)
    if isinstance(whole_or_not, int) and not isinstance(whole_or_not, bool):
        return float(whole_or_not)
    return _typed(fields, name, float, default)


def whole(fields: Fields, name: str, default: int) -> int:
    """A number written without a fraction, of at most 64 bits."""
    value = _typed(fields, name, int, default)
    if not -INT64_LIMIT <= value < INT64_LIMIT:
        raise bad_body(f"cannot read {value} as {name}, it is beyond 64 bits")
    return value


def _typed(fields: Fields, name: str, kind: type[T], default: T) -> T:
    value = fields.get(name, default)
    if type(value) is not kind:
        raise bad_body(f"cannot read {_name_of(value)} {value!r} as {name}, a {kind.__name__}")
    return value


def _name_of(value: object) -> str:
    return WIRE_NAMES.get(type(value), "null")
