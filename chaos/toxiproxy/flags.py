"""Command-line flags by the rules of Go's flag package.

`-name value`, `-name=value`, and both with two dashes; a switch takes a value only behind `=`.
The first word that is no flag ends them; the rest is ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.toxiproxy import go_json

SWITCHED = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
OCTAL = re.compile("^([+-]?)0(?=[0-9_])")
WHOLE = re.compile("[+-]?[0-9][0-9A-Za-z_]*")


class FlagError(Exception):
    """A command line that cannot be parsed."""


class HelpWanted(Exception):
    """Raised for `-h` or `-help`."""


@dataclass(frozen=True)
class Flag:
    """A flag with a value; `read` raises ValueError for an invalid one."""

    name: str
    kind: str
    default: Any
    purpose: str
    read: Callable[[str], Any] = str


@dataclass(frozen=True)
class Switch(Flag):
    """A flag that is on or off."""


def switch(name: str, purpose: str) -> Switch:
    """Return a switch that is off by default."""
    return Switch(name, "", False, purpose, _switched)


def values(flags: Sequence[Flag], words: Sequence[str]) -> dict[str, Any]:
    """Return the value of every flag by name.

    Raises:
        FlagError: an unknown flag, an invalid value, or a missing one.
        HelpWanted: `-h` or `-help` is given.
    """
    known = {flag.name: flag for flag in flags}
    found = {flag.name: flag.default for flag in flags}
    left = list(words)
    while left and len(left[0]) > 1 and left[0].startswith("-") and left[0] != "--":
        word = left.pop(0)
        name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
        if not name or name.startswith("-"):
            raise FlagError(f"bad flag syntax: {word}")
        if name not in known and name in ("h", "help"):
            raise HelpWanted
        if name not in known:
            raise FlagError(f"flag provided but not defined: -{name}")
        if not equals:
            value = _value_behind(known[name], left)
        found[name] = _read(known[name], value)
    return found


def usage(program: str, flags: Sequence[Flag]) -> str:
    """Return the help text."""
    lines = [f"Usage of {program}:"]
    for flag in sorted(flags, key=lambda each: each.name):
        default = f" (default {flag.default})" if flag.default else ""
        lines += [f"  -{flag.name} {flag.kind}".rstrip(), f"    \t{flag.purpose}{default}"]
    return "\n".join(lines) + "\n"


def whole(text: str) -> int:
    """Parse a whole number of 64 bits, in any base that Go has a prefix for.

    Raises:
        ValueError: it is not one.
    """
    if not WHOLE.fullmatch(text):
        raise ValueError("parse error")
    try:
        number = int(OCTAL.sub(r"\g<1>0o", text), base=0)
    except ValueError:
        raise ValueError("parse error") from None
    if go_json.wrapped(number) != number:
        raise ValueError("value out of range")
    return number


def _value_behind(flag: Flag, left: list[str]) -> str:
    if isinstance(flag, Switch):
        return "true"
    if not left:
        raise FlagError(f"flag needs an argument: -{flag.name}")
    return left.pop(0)


def _read(flag: Flag, value: str) -> Any:
    try:
        return flag.read(value)
    except ValueError as problem:
        quoted = json.dumps(value, ensure_ascii=False)
        what = "boolean value" if isinstance(flag, Switch) else "value"
        of = f"-{flag.name}" if isinstance(flag, Switch) else f"flag -{flag.name}"
        raise FlagError(f"invalid {what} {quoted} for {of}: {problem}") from None


def _switched(text: str) -> bool:
    if text not in SWITCHED:
        raise ValueError("parse error")
    return SWITCHED[text]
