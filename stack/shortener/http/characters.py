"""Names of characters for error messages: many are invisible."""

from __future__ import annotations

import unicodedata

_CONTROLS = {"\0": "zero byte", "\t": "tab", "\n": "line feed", "\r": "carriage return"}


def named(character: str) -> str:
    """Name and code point of a character."""
    name = _CONTROLS.get(character) or unicodedata.name(character, "control character").lower()
    return f"{name} (U+{ord(character):04X})"


def at(text: str, index: int) -> str:
    """Name and position, counted from 1, of a character in a text."""
    return f"{named(text[index])} as character {index + 1}"
