"""Aliases: codes chosen by the client, and the reserved words."""

from __future__ import annotations

import re

from stack.shortener.http.characters import at
from stack.shortener.infra import codes

PATTERN = f"^[{codes.CHARACTERS}]{{3,{codes.MAX_LENGTH}}}$"
_FORM = re.compile(PATTERN[1:-1])
_RULE = f"alias must be 3 to {codes.MAX_LENGTH} of A-Z a-z 0-9 _ -"

# Our own paths, paths that browsers and crawlers request, and words that invite phishing.
_WORDS = (
    "api docs openapi bulk healthz readyz metrics health ready status "
    "favicon robots sitemap wellknown index static assets public "
    "admin administrator root login logout signin signup register account password security "
    "support help about contact legal terms privacy abuse billing null undefined"
)
_LOOKALIKES = str.maketrans("01i345", "olleas", "-_")


def checked(alias: object) -> str:
    """Return the alias if it is well-formed and not reserved; raises `ValueError`."""
    if not isinstance(alias, str):
        raise ValueError(_RULE)
    if _FORM.fullmatch(alias) is None:
        unwanted = re.search(f"[^{codes.CHARACTERS}]", alias)
        found = at(alias, unwanted.start()) if unwanted else f"{len(alias)} of them"
        raise ValueError(f"{_RULE}; it has {found}")
    if is_reserved(alias):
        raise ValueError("alias is reserved, or looks like a reserved word")
    return alias


def is_reserved(code: str) -> bool:
    """True for a reserved word and for a code that looks like one."""
    return _shape(code) in _RESERVED


def _shape(word: str) -> str:
    """Normalize look-alike characters of common fonts, so that `adm1n` and `admin` are equal."""
    bare = word.lower().translate(_LOOKALIKES)
    return bare.replace("rn", "m").replace("vv", "w").replace("cl", "d")


_RESERVED = frozenset(map(_shape, _WORDS.split()))
