"""Characters by name, for who has to find one that is not wanted: many cannot be seen."""

from __future__ import annotations

import unicodedata

_CONTROLS = {"\0": "zero byte", "\t": "tab", "\n": "line feed", "\r": "carriage return"}


def named(character: str) -> str:
    """Its name and number."""
    name = _CONTROLS.get(character) or unicodedata.name(character, "control character").lower()
    return f"{name} (U+{ord(character):04X})"


def at(text: str, index: int) -> str:
    """The name of a character of a text, and its place, counted from 1."""
    return f"{named(text[index])} as character {index + 1}"
