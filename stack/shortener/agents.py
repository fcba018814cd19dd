"""Who clicked, as far as two headers tell: a bot or not, and from which site."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import urlsplit

_BOT = re.compile(
    rb"bot\b|bot/|crawl|spider|slurp|preview|facebookexternalhit|whatsapp|telegram|headless"
    rb"|monitor|uptime|curl|wget|httpie|python-|go-http|java/|libwww|okhttp",
    re.IGNORECASE,
)
_HOST = re.compile(r"[a-z0-9.-]{1,253}")


@lru_cache(maxsize=4096)
def is_bot(user_agent: bytes) -> bool:
    """Whether the client says, or a lack of words suggests, that it is a program."""
    return not user_agent or _BOT.search(user_agent) is not None


@lru_cache(maxsize=4096)
def referrer_host(referer: bytes) -> str:
    """The site that a Referer names, without path or query (they can be private), or ''."""
    try:
        host = urlsplit(referer.decode("ascii")).hostname or ""
    except ValueError:
        return ""
    return host if _HOST.fullmatch(host) else ""
