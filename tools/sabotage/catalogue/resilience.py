"""Timeouts, breakers, near caches and budgets that are there in name only."""

from tools.sabotage.catalogue import checks as c
from tools.sabotage.model import Edit, Sabotage

DOWN, LOST, STORM = "cache-down", "replica-lost", "retry-storm"
BREAKER = "stack/shortener/infra/breaker.py"
RETRYING = "scenarios/generator/retrying.py"

SABOTAGES = (
    Sabotage(
        "breaker-never-opens",
        "The breaker never opens.",
        "Every request waits for a cache that hangs.",
        DOWN,
        ["breaker"],
        [Edit(BREAKER, "if (self._failures >= self._max_failures or lasting) and", "if False and")],
        ["breaker: p50"],
    ),
    Sabotage(
        "timeout-not-applied",
        "The cache's timeout is ten times the one that is set.",
        "Requests hang while the cache does.",
        DOWN,
        ["timeout"],
        [
            Edit(
                "stack/shortener/redirect/redis_reader.py",
                "        self._server = RedisAddress.of(url)\n        self._timeout_s = timeout_s\n",
                "        self._server = RedisAddress.of(url)\n        self._timeout_s = 10 * timeout_s\n",
            )
        ],
        ["timeout: p99"],
    ),
    Sabotage(
        "near-cache-keeps-nothing",
        "The near cache keeps nothing.",
        "The fix does nothing.",
        DOWN,
        ["near", "breaker"],
        [
            Edit(
                "stack/shortener/redirect/near_cache.py",
                "        if not self._ttl_s or entry.state != LIVE:",
                "        if True or entry.state != LIVE:",
            )
        ],
        ["near: p99 during", "near: look-ups during"],
    ),
    Sabotage(
        "errors-made-redirects",
        "While the cache is away, redirects lead to the front page.",
        "No error is counted, and nobody gets where they wanted.",
        DOWN,
        ["timeout"],
        [
            Edit(
                "stack/shortener/redirect/handler.py",
                "        return await self._find_uncached(code, after)\n",
                "        found = await self._find_uncached(code, after)\n"
                '        front = found.entry._replace(url=b"https://example.com/")\n'
                "        return found._replace(entry=front)\n",
            )
        ],
        [c.ANSWERS],
    ),
    Sabotage(
        "fallback-forgotten",
        "A look-up that the replica does not answer ends there.",
        "The fix does nothing.",
        LOST,
        ["fallback"],
        [
            Edit(
                "stack/shortener/redirect/read_routes.py",
                "            entry = await query.fetch_replica()\n            if entry.version:\n"
                "                return entry\n        return await query.fetch_primary()\n",
                "            pass\n        entry = await query.fetch_replica()\n"
                "        return entry if entry.version else await query.fetch_primary()\n",
            )
        ],
        ["fallback: missed"],
    ),
    Sabotage(
        "stale-if-error-ignored",
        "No expired link is served, whatever STALE_IF_ERROR_S says.",
        "The fix does nothing.",
        LOST,
        ["stale"],
        [
            Edit(
                "stack/shortener/redirect/handler.py",
                "            if expired is None or expired",
                "            if True or expired is None or expired",
            )
        ],
        ["stale: missed"],
    ),
    Sabotage(
        "breaker-never-closes",
        "A breaker stays open for good.",
        "The primary bears all load from the first short outage on.",
        LOST,
        ["breaker"],
        [
            Edit(
                BREAKER,
                "            try:\n                await self._probe()\n",
                "            try:\n                raise TimeoutError\n",
            )
        ],
        ["breaker: on the replica again"],
    ),
    Sabotage(
        "cache-given-up",
        "Once its breaker has opened, the cache is left alone for a minute.",
        "The databases bear all load long after a short outage of the cache.",
        DOWN,
        ["breaker"],
        [
            Edit(
                "stack/shortener/redirect/redis_reader.py",
                'Breaker("cache", failures, pause_s, self.connect)',
                'Breaker("cache", failures, 60 * pause_s, self.connect)',
            )
        ],
        ["breaker: look-ups later"],
    ),
    Sabotage(
        "expired-served-all-along",
        "An expired link is served without asking a database that is well.",
        "Nobody sees an edit for as long as STALE_IF_ERROR_S.",
        LOST,
        ["stale"],
        [
            Edit(
                "stack/shortener/redirect/handler.py",
                "                return await self._fill_from_database(code, read, after)\n",
                "                if isinstance(read, CacheRead) and read.expired:\n"
                "                    raise TimeoutError\n"
                "                return await self._fill_from_database(code, read, after)\n",
            )
        ],
        ["stale: on the replica again"],
    ),
    Sabotage(
        "budget-of-nothing",
        "Clients with a budget for retries never retry.",
        "Retries within a budget are called harmless, and there are none.",
        STORM,
        ["budget"],
        [
            Edit(
                RETRYING,
                "return budget >= NO_LIMIT or self._granted + 1 <= budget * self._first_tries + BURST",
                "return budget >= NO_LIMIT",
            )
        ],
        ["budget: retries"],
    ),
    Sabotage(
        "budget-not-kept",
        "Clients retry as often as they like.",
        "The fix does nothing.",
        STORM,
        ["budget"],
        [
            Edit(
                RETRYING,
                "return budget >= NO_LIMIT or self._granted",
                "return budget >= 0 or self._granted",
            )
        ],
        ["budget: missed"],
    ),
    Sabotage(
        "tries-more-than-planned",
        "Clients that should not retry do.",
        "The arm without retries is another one.",
        STORM,
        ["none"],
        [
            Edit(RETRYING, "or attempt >= self._retries.tries or", "or attempt >= 4 or"),
            Edit(
                "scenarios/generator/visits.py",
                "return steps == [FOLLOW.steps] and traffic.retries.tries == 1",
                "return False",
            ),
        ],
        ["none: missed", c.VISITS],
    ),
)  # fmt: skip
