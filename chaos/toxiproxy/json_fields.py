"""Read request bodies by the rules of Go's JSON decoder, as Toxiproxy does.

Field names match in any case; unknown fields, null and all text after the first JSON value are
ignored. A whole number must be written as one: 5, not 5.0. A body with a value of the wrong kind is
read to its end, and the first such value is reported in Go's words.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaos.toxiproxy import go_json
from chaos.toxiproxy.errors import ApiError, bad_body
from chaos.toxiproxy.json_scanner import JsonSyntaxError, first_value

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
PLAIN_KINDS: dict[type, str] = {str: "string", bool: "bool"}
READ_AS: dict[str, Callable[[str], float]] = {
    "int": go_json.int64,
    "int64": go_json.int64,
    "float32": go_json.float32,
}

Fields = dict[str, Any]


@dataclass(frozen=True)
class Struct:
    """A JSON object: its type in Go's messages, and the kinds of its fields.

    A field is `string`, `bool`, `int`, `int64`, `float32`, or a struct. `embedded` names the inner
    struct that Go reports fields under.
    """

    go_type: str
    fields: Mapping[str, Any]
    embedded: str = ""

    @property
    def go_name(self) -> str:
        """Type name without its package; empty for an anonymous struct."""
        return "" if " " in self.go_type else self.go_type.rpartition(".")[2]


@dataclass(frozen=True)
class StructList:
    """A JSON array of structs."""

    of: Struct


@dataclass(frozen=True)
class Number:
    """A number as written."""

    text: str


@dataclass
class _Reader:
    """Errors found so far, and the position in the body."""

    wrong: list[str] = field(default_factory=list)
    path: list[str] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)

    def struct(self, value: object, struct: Struct) -> Fields:
        if value is None:
            return {}
        if not isinstance(value, Pairs):
            self.refuse(value, struct.go_type)
            return {}
        known = {name.casefold(): name for name in struct.fields}
        fields: Fields = {}
        for given, each in value:
            name = known.get(given.casefold())
            if name is None or each is None:
                continue
            kind = struct.fields[name]
            outer = [struct.embedded] if struct.embedded and kind != "*bool" else []
            self.path += [*outer, name]
            self.inside.append(struct.go_name)
            read = self.value(each, kind)
            del self.path[-1 - len(outer) :], self.inside[-1]
            if isinstance(read, dict):
                fields.setdefault(name, {}).update(read)
            elif read is not None:
                fields[name] = read
        return fields

    def structs(self, value: object, listed: StructList) -> list[Fields]:
        if value is None:
            return []
        if isinstance(value, list) and not isinstance(value, Pairs):
            return [self.struct(each, listed.of) for each in value]
        self.refuse(value, f"[]{listed.of.go_type}")
        return []

    def value(self, value: object, kind: Any) -> Any:
        if isinstance(kind, Struct):
            return self.struct(value, kind)
        kind = kind.lstrip("*")
        if isinstance(value, Number) and kind in READ_AS:
            return self.number(value, kind)
        if isinstance(value, str) and kind == "string":
            return LONE_SURROGATE.sub("\ufffd", value)
        if isinstance(value, bool) and kind == "bool":
            return value
        self.refuse(value, kind)
        return None

    def number(self, number: Number, kind: str) -> float | None:
        try:
            return READ_AS[kind](number.text)
        except (ValueError, OverflowError):
            self.refuse(number, kind, f"number {number.text}")
            return None

    def refuse(self, value: object, go_type: str, called: str = "") -> None:
        where = f"field {self.inside[-1]}.{'.'.join(self.path)} of" if self.path else "value of"
        go = f"Go {'struct ' if self.path else ''}{where} type {go_type}"
        self.wrong.append(f"json: cannot unmarshal {called or _name_of(value)} into {go}")


class Pairs(list[tuple[str, Any]]):
    """Fields of a JSON object in order, repeated ones included."""


def read(body: bytes, struct: Struct) -> tuple[Fields, ApiError | None]:
    """Return the fields that could be read of a JSON object, and the error, if any."""
    reader = _Reader()
    try:
        fields = reader.struct(_parse(body), struct)
    except JsonSyntaxError as problem:
        return {}, bad_body(str(problem))
    return fields, bad_body(reader.wrong[0]) if reader.wrong else None


def fields_of(body: bytes, struct: Struct) -> Fields:
    """Return the fields of a JSON object.

    Raises:
        ApiError: 400, it is not, or a field is of the wrong kind.
    """
    fields, problem = read(body, struct)
    if problem:
        raise problem
    return fields


def listed_fields_of(body: bytes, listed: StructList) -> Sequence[Fields]:
    """Return the fields of each object in a JSON array.

    Raises:
        ApiError: 400, it is not, or a field is of the wrong kind.
    """
    reader = _Reader()
    try:
        found = reader.structs(_parse(body), listed)
    except JsonSyntaxError as problem:
        raise bad_body(str(problem)) from None
    if reader.wrong:
        raise bad_body(reader.wrong[0])
    return found


def _parse(body: bytes) -> Any:
    """Parse the first JSON value; objects become `Pairs`, numbers `Number`."""
    text = first_value(body).decode(errors="go")
    return json.loads(text, object_pairs_hook=Pairs, parse_int=Number, parse_float=Number)


def _name_of(value: object) -> str:
    if isinstance(value, Pairs):
        return "object"
    if isinstance(value, list):
        return "array"
    return PLAIN_KINDS.get(type(value), "number")


def _each_byte_replaced(problem: UnicodeError) -> tuple[str, int]:
    assert isinstance(problem, UnicodeDecodeError)
    return "\ufffd" * (problem.end - problem.start), problem.end


codecs.register_error("go", _each_byte_replaced)
