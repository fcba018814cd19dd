"""An API with links in memory, for tests that need no database."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from stack.shortener.api.access import AccessCheck
from stack.shortener.api.answers import DayClicks, ReferrerClicks, ShortLink, Stats
from stack.shortener.api.app import LinkApi
from stack.shortener.api.bodies import LinkChange, NewLink
from stack.shortener.api.links import LinkPage
from stack.shortener.api.rate_limit import RateLimit
from stack.shortener.api.validation import PageRequest
from stack.shortener.api.writes import Written
from stack.shortener.http.problems import Problem
from stack.shortener.infra.client_address import TrustedProxies
from stack.shortener.infra.metrics import Metrics
from stack.shortener.infra.servers import Server
from stack.shortener.settings import WebSettings

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SERVER = Server("postgres-1", 1, takes_writes=True)
DAY = DayClicks(day=NOW.date(), total=1, bots=0)
REFERRER = ReferrerClicks(referrer="", total=1)
ADDRESSES: dict[str, Any] = {
    "primary_url": "postgresql://any",
    "replica_url": "postgresql://any",
    "cache_url": "redis://any",
    "queue_url": "redis://any",
}


class FakeLinks:
    """One link, `known`, that belongs to nobody or to `me`; a created one is called `made`."""

    link = ShortLink(
        code="known",
        url="https://example.org/",
        version=3,
        disabled=False,
        expires_at=None,
        max_clicks=None,
        uses=0,
        created_at=NOW,
        updated_at=NOW,
    )

    async def create(self, wanted: NewLink, owner: str | None) -> Written[ShortLink]:
        return Written(self._made(wanted), SERVER)

    async def create_all(
        self, wanted: Sequence[NewLink], owner: str | None
    ) -> Written[Sequence[ShortLink]]:
        return Written([self._made(each) for each in wanted], SERVER)

    def _made(self, wanted: NewLink) -> ShortLink:
        return self.link.model_copy(update={"code": wanted.alias or "made", "url": wanted.url})

    async def get(self, code: str, owner: str | None) -> ShortLink:
        if code == self.link.code and owner in (None, "me"):
            return self.link
        raise Problem(404, "there is no such link")

    async def page(self, page: PageRequest, owner: str | None) -> LinkPage:
        return LinkPage([self.link], None)

    async def update(
        self, code: str, change: LinkChange, versions: Sequence[int] | None, owner: str | None
    ) -> Written[ShortLink]:
        return Written(await self.get(code, owner), SERVER)

    async def delete(
        self, code: str, versions: Sequence[int] | None, owner: str | None
    ) -> Written[int]:
        return Written((await self.get(code, owner)).version + 1, SERVER)

    async def stats(self, code: str, owner: str | None) -> Stats:
        await self.get(code, owner)
        return Stats(code=code, total=1, bots=0, visitors=1, days=[DAY], referrers=[REFERRER])


class FakeCache:
    """Records invalidations."""

    def __init__(self) -> None:
        self.forgotten: list[tuple[str, int]] = []

    async def invalidate(self, code: str, version: int) -> None:
        self.forgotten.append((code, version))


class FakeKeys:
    """Accepts the key `right`, of owner `me`."""

    def __init__(self) -> None:
        self.asked = 0
        self.used: set[str] = set()

    def cached_owner(self, key: str) -> str | None:
        return "me" if key in self.used else None

    async def owner(self, key: str) -> str | None:
        self.asked += 1
        if key != "right":
            return None
        self.used.add(key)
        return "me"


@dataclasses.dataclass
class FakeApi:
    """The app and its fakes."""

    app: LinkApi
    cache: FakeCache
    keys: FakeKeys
    metrics: Metrics


def fake_api(rate: RateLimit | None = None, **settings: Any) -> FakeApi:
    """Build an API with these settings."""
    chosen = WebSettings(**{**ADDRESSES, **settings})
    cache: Any = FakeCache()
    keys: Any = FakeKeys()
    links: Any = FakeLinks()
    metrics = Metrics()
    peers = TrustedProxies(chosen.trusted_proxies)
    gate = AccessCheck(peers, keys if chosen.require_api_key else None, rate, metrics)
    app = LinkApi(links, links, cache, metrics, gate, peers, chosen)
    return FakeApi(app, cache, keys, metrics)
