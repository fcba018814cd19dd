"""Who clicked, as far as a request's headers tell: a person or a program, and from which site.

Programs are known by the list that crawler-user-agents keeps, and by words and shapes that no list
keeps up with. RE2 looks for all of them at once, in a time that grows only with the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import re2  # type: ignore[import-untyped]
from crawleruseragents import CRAWLER_USER_AGENTS_DATA  # type: ignore[import-untyped]

MOST = 512  # bytes of a header that are looked at; longer ones are not sent by browsers
_AUTOMATON_BYTES = 16 << 20  # half of it is not enough for the whole list, and many times slower
_PROGRAM = (
    rb"(?:^|[^u]|[^c]u)bots?(?:[^a-z]|$)",  # CUBOT makes phones
    rb"crawl|spider|slurp|scrape|scraping|preview|headless|monitor|uptime|health-?check",
    rb"curl|wget|httpie|python-|go-http|java/|libwww|okhttp",
    rb"https?:|@[a-z][a-z0-9-]*[.]",  # where to complain
    rb"^[\w .:%-]*(?:/[\w.:%-]*)?$",  # a name and no system, or nothing at all
    rb"^mozilla/5\.0 (?:\(compatible(?:; [^;()]*)?;?\)|[^(;]*$)",  # a browser without a system
)
# What makers of phones and apps may call anything: there is a phone M BOT.
_DEVICE = re.compile(rb"\b(?:Android|Adr)\b(?:[^()]*?Build/[^;)]*|[^()]*)|\[[^\]]*\]")
_IN_AN_APP = re.compile(rb"; ?wv\)|\(iP[^()]*\) AppleWebKit/[^()]* \([^()]*\) Mobile/")
_HOST = re.compile(r"[a-z0-9.-]{1,253}")

_REASONS = (b"sec-purpose", b"purpose", b"x-purpose", b"x-moz")
_AHEAD = re.compile(rb"\b(?:prefetch|prerender|preview|instant)\b", re.IGNORECASE)


def _compiled(*patterns: bytes) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _AUTOMATON_BYTES
    options.never_capture = True
    return re2.compile(b"|".join(b"(?:%b)" % pattern for pattern in patterns), options)


def _listed(tag: str | None = None) -> list[bytes]:
    """The patterns of the list, or those with a tag."""
    crawlers = CRAWLER_USER_AGENTS_DATA
    chosen = [one for one in crawlers if tag is None or tag in one.get("tags", ())]
    return [one["pattern"].encode() for one in chosen]


_says_so = _compiled(b"(?i:%b)" % b"|".join(_PROGRAM))
_is_known = _compiled(b"(?i:%b)" % b"|".join(_PROGRAM), *_listed())
_previews = _compiled(b"(?i:preview)", *_listed(tag="social-preview"))


@lru_cache(maxsize=4096)
def is_bot(user_agent: bytes) -> bool:
    """Whether the client says, or a lack of words suggests, that it is a program.

    Inside an app the app's name proves nothing: most of those that fetch previews have browsers.
    """
    pattern = _says_so if _IN_AN_APP.search(user_agent) else _is_known
    return pattern.search(_DEVICE.sub(b"(", user_agent)) is not None


@lru_cache(maxsize=4096)
def is_preview(user_agent: bytes) -> bool:
    """Whether a program looks at a link that somebody has sent to somebody."""
    if _IN_AN_APP.search(user_agent):
        return False
    return _previews.search(_DEVICE.sub(b"(", user_agent)) is not None


def is_ahead(fields: Mapping[bytes, bytes]) -> bool:
    """Whether a browser fetches this in case that somebody will want it."""
    if (
        b"sec-purpose" in fields
        or b"purpose" in fields
        or b"x-purpose" in fields
        or b"x-moz" in fields
    ):  # each name by itself, since this is asked at every redirect
        return any(_AHEAD.search(fields.get(name, b"")) for name in _REASONS)
    return False


def only_looks(fields: Mapping[bytes, bytes]) -> bool:
    """Whether nobody follows the link by this request."""
    return is_ahead(fields) or is_preview(fields.get(b"user-agent", b"")[:MOST])


@lru_cache(maxsize=4096)
def referrer_host(referer: bytes) -> str:
    """The site that a Referer names, without path or query (they can be private), or ''."""
    try:
        host = urlsplit(referer.decode("ascii")).hostname or ""
    except ValueError:
        return ""
    return host if _HOST.fullmatch(host) else ""
