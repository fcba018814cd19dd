"""What a request for the API passes first: its size, whose it is, and how often that one asks."""

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

HEADERS_LONGEST = 16 * 1024
_BEARER = re.compile(rb"bearer +(\S+) *", re.IGNORECASE)
_GUARDED = "/api/"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the id of their key if there is one, and by what they are counted."""

    owner: str | None
    client: str
    headers: asgi.Headers


class AccessCheck:
    """Lets requests in, or raises the `Problem` that they get for an answer."""

    def __init__(
        self, peers: TrustedProxies, keys: ApiKeys | None, rate: RateLimit | None, metrics: Metrics
    ) -> None:
        self._peers = peers
        self._keys = keys
        self._rate = rate
        self._metrics = metrics

    async def enter(self, scope: asgi.Scope) -> Caller:
        """Let a request in. Guesses at keys count for the address that they come from."""
        asked: asgi.Headers = scope["headers"]
        asgi.check_address(scope)
        if sum(len(name) + len(value) for name, value in asked) > HEADERS_LONGEST:
            raise Problem(431, f"the headers are longer than {HEADERS_LONGEST} bytes together")
        client = _network(self._peers.address(_peer(scope), header(asked, b"x-forwarded-for")))
        if self._keys is None or not scope["path"].startswith(_GUARDED):
            return Caller(None, client, self._count(client))
        key = _BEARER.fullmatch(header(asked, b"authorization"))
        token = key[1].decode("latin-1") if key else ""
        owner = self._keys.known(token)
        if owner is not None:
            return Caller(owner, owner, self._count(owner))
        counted = self._count(client)
        owner = await self._keys.owner(token)
        if owner is None:
            challenge = {"WWW-Authenticate": "Bearer"}
            detail = "this needs a valid API key: Authorization: Bearer KEY"
            raise Problem(401, detail, headers=challenge)
        return Caller(owner, owner, counted)

    def charge(self, visit: Caller, requests: int) -> None:
        """Count a request for as many as it was worth."""
        if self._rate is not None:
            self._rate.charge(visit.client, requests - 1)

    def _count(self, client: str) -> asgi.Headers:
        if self._rate is None:
            return ()
        taken = self._rate.take(client)
        headers = _shown(self._rate, taken)
        if taken.wait_s:
            self._metrics.rate_limited += 1
            told = {name.decode(): value.decode() for name, value in headers}
            told["Retry-After"] = str(math.ceil(taken.wait_s))
            raise Problem(429, "too many requests; wait a little", headers=told)
        return headers


def _shown(rate: RateLimit, taken: RateDecision) -> asgi.Headers:
    """The headers of the IETF's draft: the policy, and what is left of it."""
    return (
        (b"ratelimit-policy", b'"api";q=%d;w=%d' % (rate.burst, math.ceil(rate.burst_s))),
        (b"ratelimit", b'"api";r=%d;t=%d' % (taken.left, math.ceil(taken.whole_s))),
    )


def header(asked: asgi.Headers, name: bytes) -> bytes:
    """The last header of this name, or nothing."""
    found = b""
    for each, value in asked:
        if each == name:
            found = value
    return found


def _peer(scope: asgi.Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


@lru_cache(maxsize=4096)
def _network(address: str) -> str:
    """By what a client is counted: its address, or the /64 network that one IPv6 host has whole."""
    found = parsed(address)
    if isinstance(found, IPv6Address):
        return found.exploded[:19]
    return str(found) if found else address[:64]
