"""Detect bots, link previews, prefetches and the referring site from request headers.

Bots are found by the list of crawler-user-agents, and by words and shapes that no list keeps up
with. RE2 matches all patterns at once, in time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import re2  # type: ignore[import-untyped]
from crawleruseragents import CRAWLER_USER_AGENTS_DATA  # type: ignore[import-untyped]

MAX_HEADER_BYTES = 512  # examined; browsers send no longer ones
_AUTOMATON_BYTES = 16 << 20  # half of it is too little for the list, and many times slower
_PROGRAM = (
    rb"(?:^|[^u]|[^c]u)bots?(?:[^a-z]|$)",  # CUBOT makes phones
    rb"crawl|spider|slurp|scrape|scraping|preview|headless|monitor|uptime|health-?check",
    rb"curl|wget|httpie|python-|go-http|java/|libwww|okhttp",
    rb"https?:|@[a-z][a-z0-9-]*[.]",  # contact addresses
    rb"^[\w .:%-]*(?:/[\w.:%-]*)?$",  # a name without a system, or nothing
    rb"^mozilla/5\.0 (?:\(compatible(?:; [^;()]*)?;?\)|[^(;]*$)",  # a browser without a system
)
# Names of phones and apps can be any: there is a phone M BOT.
_DEVICE = re.compile(rb"\b(?:Android|Adr)\b(?:[^()]*?Build/[^;)]*|[^()]*)|\[[^\]]*\]")
_IN_AN_APP = re.compile(rb"; ?wv\)|\(iP[^()]*\) AppleWebKit/[^()]* \([^()]*\) Mobile/")
_HOST = re.compile(r"[a-z0-9.-]{1,253}")

_PURPOSES = (b"sec-purpose", b"purpose", b"x-purpose", b"x-moz")
_PREFETCH = re.compile(rb"\b(?:prefetch|prerender|preview|instant)\b", re.IGNORECASE)


def _compiled(*patterns: bytes) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _AUTOMATON_BYTES
    options.never_capture = True
    return re2.compile(b"|".join(b"(?:%b)" % pattern for pattern in patterns), options)


def _listed(tag: str | None = None) -> list[bytes]:
    """Return the patterns of the list, or those with a tag."""
    crawlers = CRAWLER_USER_AGENTS_DATA
    chosen = [one for one in crawlers if tag is None or tag in one.get("tags", ())]
    return [one["pattern"].encode() for one in chosen]


_claims_to_be_bot = _compiled(b"(?i:%b)" % b"|".join(_PROGRAM))
_known_bot = _compiled(b"(?i:%b)" % b"|".join(_PROGRAM), *_listed())
_known_preview = _compiled(b"(?i:preview)", *_listed(tag="social-preview"))


@lru_cache(maxsize=4096)
def is_bot(user_agent: bytes) -> bool:
    """Return true if the user agent belongs to a program, or names no system.

    In a browser inside an app, the name of the app is ignored: many of them fetch previews, too.
    """
    pattern = _claims_to_be_bot if _IN_AN_APP.search(user_agent) else _known_bot
    return pattern.search(_DEVICE.sub(b"(", user_agent)) is not None


@lru_cache(maxsize=4096)
def is_preview(user_agent: bytes) -> bool:
    """Return true if a program fetches a preview of a link in a message."""
    if _IN_AN_APP.search(user_agent):
        return False
    return _known_preview.search(_DEVICE.sub(b"(", user_agent)) is not None


def is_prefetch(fields: Mapping[bytes, bytes]) -> bool:
    """Return true if a browser fetches the page ahead of a click."""
    if (
        b"sec-purpose" in fields
        or b"purpose" in fields
        or b"x-purpose" in fields
        or b"x-moz" in fields
    ):  # spelt out, since every redirect runs this
        return any(_PREFETCH.search(fields.get(name, b"")) for name in _PURPOSES)
    return False


def is_speculative(fields: Mapping[bytes, bytes]) -> bool:
    """Return true for a prefetch or a preview, which no click causes."""
    return is_prefetch(fields) or is_preview(fields.get(b"user-agent", b"")[:MAX_HEADER_BYTES])


@lru_cache(maxsize=4096)
def referrer_host(referer: bytes) -> str:
    """Return the host of a Referer, or ''; path and query can be private."""
    try:
        host = urlsplit(referer.decode("ascii")).hostname or ""
    except ValueError:
        return ""
    return host if _HOST.fullmatch(host) else ""
