"""Fixes of stale reads and stale caches that do nothing."""

from tools.sabotage.catalogue import checks as c
from tools.sabotage.model import Edit, Sabotage

READS, STALE, BEHIND = "stale-reads", "stale-cache", "replica-far-behind"
ROUTES = "stack/shortener/redirect/read_routes.py"
CACHE = "stack/shortener/redirect/cache.py"
LAG = "stack/shortener/redirect/replica_lag.py"
UNSEEN = "no arm has any own writes unseen"

SABOTAGES = (
    Sabotage(
        "changed-links-refused",
        "A link that the replica does not have as it is now is answered with an error.",
        "Each edited link is down while the replica lags, and no stale one is seen.",
        BEHIND,
        ["known changes"],
        [
            Edit(
                "stack/shortener/redirect/refill.py",
                "                entry = await query.fetch_primary()\n",
                "                raise TimeoutError\n",
            )
        ],
        ["known changes: follow missed"],
    ),
    Sabotage(
        "remote-apply-is-on",
        "A commit that should wait until the replica shows it waits until it has received it.",
        "Whenever replay, and not the network, is what lags, a confirmed write is unseen.",
        BEHIND,
        ["remote-apply"],
        [
            Edit(
                "stack/shortener/web.py",
                "            synchronous_commit=settings.synchronous_commit,\n",
                "            synchronous_commit=settings.synchronous_commit"
                '.replace("remote_apply", "on"),\n',
            )
        ],
        [UNSEEN, "remote-apply: write missed"],
    ),
    Sabotage(
        "never-back-to-the-replica",
        "Who has written once reads from the primary for good.",
        "The primary bears what the replica is for, however little that lags.",
        BEHIND,
        ["lsn"],
        [Edit(ROUTES, "            if position.lsn >= wanted.lsn:\n", "            if position.lsn < 0:\n")],
        ["lsn: replica trusted again"],
    ),
    Sabotage(
        "pin-forgotten",
        "Sessions that have just written read from the replica.",
        "People do not see what they have just saved.",
        READS,
        ["pin"],
        [
            Edit(
                ROUTES,
                "        if after is not None and time.time() < after.at_ms / 1000 + self.pin_s:",
                "        if after is not None and time.time() < after.at_ms / 1000 - self.pin_s:",
            )
        ],
        [UNSEEN],
    ),
    Sabotage(
        "lsn-not-compared",
        "Any position of the replica counts as far enough.",
        "People do not see what they have just saved.",
        READS,
        ["lsn"],
        [Edit(ROUTES, "            if position.lsn >= wanted.lsn:", "            if position.lsn:")],
        [UNSEEN],
    ),
    Sabotage(
        "lsn-wait-gives-up",
        "A reader whose wait ends in vain reads from the replica all the same.",
        "People do not see what they have just saved, once the lag exceeds the wait.",
        READS,
        ["lsn-wait"],
        [
            Edit(
                ROUTES,
                "            await asyncio.sleep(_POLL_S)\n        return False",
                "            await asyncio.sleep(_POLL_S)\n        return True",
            )
        ],
        [UNSEEN],
    ),
    Sabotage(
        "primary-only-in-name",
        "Reads that should go to the primary go to the replica, and to the primary where that is behind.",
        "The arm's cost is another route's.",
        READS,
        ["primary"],
        [
            Edit(
                ROUTES,
                '        """Query the primary."""\n        return await query.fetch_primary()',
                '        """Query the primary."""\n        return await query.fetch_replica()',
            )
        ],
        [c.POSSIBLE],
    ),
    Sabotage(
        "no-token-issued",
        "Answers to writes have no token.",
        "Sessions cannot read their own writes.",
        READS,
        ["lsn"],
        [
            Edit(
                "stack/shortener/api/app.py",
                "token = ((HEADER, await self._tokens.issue()),) if self._tokens else ()",
                "token = ()",
            )
        ],
        [UNSEEN],
    ),
    Sabotage(
        "commit-waits-for-nobody",
        "A session's commits do not wait for the replica, whatever is set.",
        "Writes are acknowledged that one server alone has.",
        READS,
        ["remote-apply"],
        [
            Edit(
                "stack/shortener/web.py",
                "            synchronous_commit=settings.synchronous_commit,\n",
                '            synchronous_commit="local",\n',
            )
        ],
        [UNSEEN, "remote-apply: write p50"],
    ),
    Sabotage(
        "floor-ignored",
        "A value older than the link is stored all the same.",
        "An edited link leads to its old target until the value runs out.",
        STALE,
        ["versioned"],
        [Edit(CACHE, "if struct.unpack('<i8', ARGV[1]) < floor then", "if floor < 0 then")],
        ["no arm has any stale"],
    ),
    Sabotage(
        "nothing-deleted",
        "An edit leaves the cached link where it is.",
        "An edited link leads to its old target until the value runs out.",
        STALE,
        ["versioned"],
        [Edit(CACHE, "return redis.call('DEL', KEYS[1], KEYS[2])\n", "return 0\n")],
        ["no arm has any stale"],
    ),
    Sabotage(
        "second-delete-missing",
        "The second delete is never made.",
        "The fix does nothing.",
        STALE,
        ["double-delete"],
        [
            Edit(
                CACHE,
                'if settings.cache_invalidation == "double-delete":',
                'if settings.cache_invalidation == "never":',
            )
        ],
        ["double-delete: most stale"],
    ),
    Sabotage(
        "lag-bound-ignored",
        "A replica counts as within the bound, however far it is behind.",
        "Readers get links as they were long ago, though a bound is set.",
        BEHIND,
        ["bound"],
        [Edit(LAG, "return time.monotonic() - self._shown_s <= self._max_s", "return True")],
        ["bound: most stale"],
    ),
    Sabotage(
        "replica-never-trusted-again",
        "A replica that was beyond the bound once is not read again.",
        "The primary bears all reads from the first long lag on.",
        BEHIND,
        ["bound"],
        [
            Edit(
                LAG,
                "        if position := await replayed(self._replica):",
                "        once = self._shown_s < 0 or self.is_within\n"
                "        if once and (position := await replayed(self._replica)):",
            )
        ],
        ["bound: replica trusted again"],
    ),
    Sabotage(
        "known-changes-forgotten",
        "What the replica says is served, though the cache knows of a newer version.",
        "An edited link leads to its old target for as long as the replica is behind.",
        BEHIND,
        ["known changes"],
        [
            Edit(
                ROUTES,
                "what the replica does not have or cannot have yet.\"\"\"\n\n"
                "    asks_again_if_behind: bool = True",
                "what the replica does not have or cannot have yet.\"\"\"\n\n"
                "    asks_again_if_behind: bool = False",
            )
        ],
        ["no arm has any most stale"],
    ),
)  # fmt: skip
