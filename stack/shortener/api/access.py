"""Access to the API: size of the headers, API key, rate limit."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address

from stack.shortener.api.api_keys import ApiKeys
from stack.shortener.api.rate_limit import RateDecision, RateLimit
from stack.shortener.http import asgi
from stack.shortener.http.problems import Problem
from stack.shortener.infra.client_address import TrustedProxies, parsed
from stack.shortener.infra.metrics import Metrics

HEADERS_MAX_BYTES = 16 * 1024
_BEARER = re.compile(rb"bearer +(\S+) *", re.IGNORECASE)
_PROTECTED = "/api/"


@dataclass(frozen=True, slots=True)
class Caller:
    """A client: the id of its API key, if any, its key in the rate limit, and headers about it."""

    owner: str | None
    rate_key: str
    headers: asgi.Headers


class AccessCheck:
    """Admits requests, or raises the `Problem` to answer with."""

    def __init__(
        self, peers: TrustedProxies, keys: ApiKeys | None, rate: RateLimit | None, metrics: Metrics
    ) -> None:
        self._peers = peers
        self._keys = keys
        self._rate = rate
        self._metrics = metrics

    async def enter(self, scope: asgi.Scope) -> Caller:
        """Identify the caller. Attempts with an invalid key count against the client's address."""
        headers: asgi.Headers = scope["headers"]
        asgi.check_address(scope)
        if sum(len(name) + len(value) for name, value in headers) > HEADERS_MAX_BYTES:
            raise Problem(431, f"the headers are longer than {HEADERS_MAX_BYTES} bytes together")
        address = _rate_key(self._peers.address(_peer(scope), header(headers, b"x-forwarded-for")))
        if self._keys is None or not scope["path"].startswith(_PROTECTED):
            return Caller(None, address, self._count(address))
        key = _BEARER.fullmatch(header(headers, b"authorization"))
        token = key[1].decode("latin-1") if key else ""
        owner = self._keys.cached_owner(token)
        if owner is not None:
            return Caller(owner, owner, self._count(owner))
        limits = self._count(address)
        owner = await self._keys.owner(token)
        if owner is None:
            challenge = {"WWW-Authenticate": "Bearer"}
            detail = "this needs a valid API key: Authorization: Bearer KEY"
            raise Problem(401, detail, headers=challenge)
        return Caller(owner, owner, limits)

    def charge(self, caller: Caller, requests: int) -> None:
        """Count one request as `requests` in the rate limit."""
        if self._rate is not None:
            self._rate.charge(caller.rate_key, requests - 1)

    def _count(self, rate_key: str) -> asgi.Headers:
        if self._rate is None:
            return ()
        taken = self._rate.take(rate_key)
        headers = _rate_headers(self._rate, taken)
        if taken.wait_s:
            self._metrics.rate_limited += 1
            shown = {name.decode(): value.decode() for name, value in headers}
            shown["Retry-After"] = str(math.ceil(taken.wait_s))
            raise Problem(429, "too many requests; wait a little", headers=shown)
        return headers


def _rate_headers(rate: RateLimit, taken: RateDecision) -> asgi.Headers:
    """`RateLimit-Policy` and `RateLimit`, as in the IETF draft."""
    return (
        (b"ratelimit-policy", b'"api";q=%d;w=%d' % (rate.burst, math.ceil(rate.burst_s))),
        (b"ratelimit", b'"api";r=%d;t=%d' % (taken.left, math.ceil(taken.full_s))),
    )


def header(headers: asgi.Headers, name: bytes) -> bytes:
    """The last header of this name, or `b""`."""
    found = b""
    for each, value in headers:
        if each == name:
            found = value
    return found


def _peer(scope: asgi.Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


@lru_cache(maxsize=4096)
def _rate_key(address: str) -> str:
    """The client's IPv4 address, or its IPv6 /64 network: one host usually has a whole /64."""
    found = parsed(address)
    if isinstance(found, IPv6Address):
        return found.exploded[:19]
    return str(found) if found else address[:64]
