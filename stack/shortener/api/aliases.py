"""Aliases: the codes that people choose, and those that nobody may have."""

from __future__ import annotations

import re

from stack.shortener.http.characters import at
from stack.shortener.http.problems import Problem
from stack.shortener.infra import codes

PATTERN = f"^[{codes.CHARACTERS}]{{3,{codes.MAX_LENGTH}}}$"
_FORM = re.compile(PATTERN[1:-1])
_RULE = f"alias must be 3 to {codes.MAX_LENGTH} of A-Z a-z 0-9 _ -"

# Ours, those that a host is asked for by itself, and those that a visitor would trust too much.
_WORDS = (
    "api docs openapi bulk healthz readyz metrics health ready status "
    "favicon robots sitemap wellknown index static assets public "
    "admin administrator root login logout signin signup register account password security "
    "support help about contact legal terms privacy abuse billing null undefined"
)
_ALIKE = str.maketrans("01i345", "olleas", "-_")


def checked(alias: object) -> str:
    """The alias, if it has the right form and is not reserved."""
    if not isinstance(alias, str):
        raise Problem(422, _RULE, field="alias")
    if _FORM.fullmatch(alias) is None:
        unwanted = re.search(f"[^{codes.CHARACTERS}]", alias)
        found = at(alias, unwanted.start()) if unwanted else f"{len(alias)} of them"
        raise Problem(422, f"{_RULE}; it has {found}", field="alias")
    if is_reserved(alias):
        raise Problem(422, "alias is reserved, or looks like a reserved word", field="alias")
    return alias


def is_reserved(code: str) -> bool:
    """Whether the code is a reserved word, or would be taken for one."""
    return _shape(code) in _RESERVED


def _shape(word: str) -> str:
    """What the eye makes of a word: the same for all that look alike in some common font."""
    bare = word.lower().translate(_ALIKE)
    return bare.replace("rn", "m").replace("vv", "w").replace("cl", "d")


_RESERVED = frozenset(map(_shape, _WORDS.split()))
