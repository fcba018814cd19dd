"""Fixes of the herd that do nothing, do it in one process only, or hide what they let through."""

from tools.sabotage.catalogue import checks as c
from tools.sabotage.model import Edit, Sabotage

HERD = "thundering-herd"
CACHE = "stack/shortener/redirect/cache.py"
LOCK = "stack/shortener/redirect/fills/lock.py"
SINGLE = "stack/shortener/redirect/fills/singleflight.py"
SWR = "stack/shortener/redirect/fills/swr.py"
XFETCH = "stack/shortener/redirect/fills/xfetch.py"
ORIGIN = "stack/shortener/redirect/origin.py"
UNTAGGED = """            return await self._sneak(code)
        return await self._refill(code, read)

    async def _sneak(self, code: str) -> FillResult:
        from stack.shortener.redirect.origin import LOOK_UP, _entry

        query = LOOK_UP.replace("/* origin */ ", "")
        async with self._refill.origin.replica.connection() as connection:
            row = await connection.fetchrow(query, code)
        return FillResult(_entry(row, time.time(), 0.1), "wait")
"""
PER_PROCESS = "f'{_LOCK}{self._settings.name}'"

SABOTAGES = (
    Sabotage(
        "lock-for-everybody",
        "Every reader gets the lock.",
        "The fix does nothing.",
        HERD,
        ["lock"],
        [
            Edit(
                CACHE,
                "            taken, value = await pipeline.execute()\n        return bool(taken)",
                "            taken, value = await pipeline.execute()\n        return True",
            )
        ],
        ["lock: origin queries per expiry"],
    ),
    Sabotage(
        "lock-untagged",
        "Readers without the lock query the database with a statement that names no purpose.",
        "The herd reaches the database, unseen by the app's own accounts.",
        HERD,
        ["lock"],
        [
            Edit(
                LOCK,
                "            await asyncio.sleep(pause_s)\n        return await self._refill(code, read)\n",
                UNTAGGED,
            )
        ],
        [c.LOOK_UPS, c.STATEMENTS],
    ),
    Sabotage(
        "lock-in-one-process",
        "Each web process has a lock of its own.",
        "The fix works in a test with one process, and lets as many through as there are.",
        HERD,
        ["lock"],
        [
            Edit(
                CACHE,
                "pipeline.set(_LOCK + code, token, nx=True, px=self._lock_ms)",
                f"pipeline.set({PER_PROCESS} + code, token, nx=True, px=self._lock_ms)",
            )
        ],
        ["lock: origin queries per expiry"],
    ),
    Sabotage(
        "lease-for-everybody",
        "Every reader gets a lease.",
        "The fix does nothing.",
        HERD,
        ["lease"],
        [Edit(CACHE, "'NX', 'PX', ARGV[2]) and 1 or 0, false}", "'PX', ARGV[2]) and 1 or 0, false}")],
        ["lease: origin queries per expiry"],
    ),
    Sabotage(
        "flights-not-shared",
        "No reader shares another's query.",
        "The fix does nothing.",
        HERD,
        ["singleflight"],
        [Edit(SINGLE, "        key = code, after\n", '        key = f"{code}{time.monotonic()}", after\n')],
        ["singleflight: origin queries per expiry"],
    ),
    Sabotage(
        "swr-waits",
        "The first reader of a value that ran out waits for its refresh.",
        "Stale-while-revalidate has the latency that it promises to hide.",
        HERD,
        ["swr"],
        [
            Edit(
                SWR,
                '        return "stale"',
                "        return None  # type: ignore[return-value]",
            )
        ],
        ["swr: waited", "swr: p99"],
    ),
    Sabotage(
        "swr-without-lock",
        "Each web process refreshes, whoever else does.",
        "The fix works in one process only.",
        HERD,
        ["swr"],
        [Edit(SWR, "        if not taken:\n            return\n", "")],
        ["swr: origin queries per expiry"],
    ),
    Sabotage(
        "xfetch-never-early",
        "No reader is drawn to refresh early.",
        "The fix does nothing.",
        HERD,
        ["xfetch"],
        [
            Edit(
                XFETCH,
                "return now - entry.recompute_s * beta * math.log(draw) >= entry.fresh_until",
                "return now >= entry.fresh_until",
            )
        ],
        ["xfetch: origin queries per expiry"],
    ),
    Sabotage(
        "look-ups-not-logged",
        "The app logs every other query only.",
        "The herd looks half as large.",
        HERD,
        ["singleflight"],
        [
            Edit(
                ORIGIN,
                "        for look_up in self._look_ups:\n            last",
                "        for look_up in self._look_ups:\n"
                "            if int(look_up.asked_s * 1e6) % 2:\n"
                "                continue\n"
                "            last",
            )
        ],
        [c.LOOK_UPS],
    ),
    Sabotage(
        "ttl-halved",
        "Values run out after half of the time that is set.",
        "Every figure is per expiry of another cache than the one that was set.",
        HERD,
        ["singleflight"],
        [
            Edit(
                CACHE,
                "return settings.cache_ttl_s * random.uniform(1 - jitter, 1 + jitter)",
                "return settings.cache_ttl_s / 2 * random.uniform(1 - jitter, 1 + jitter)",
            )
        ],
        [c.LASTED],
    ),
    Sabotage(
        "naive-arm-shielded",
        "The naive arm shares queries, too.",
        "The failure that the fixes are compared with never happened.",
        HERD,
        ["lock"],
        [
            Edit(
                "stack/shortener/redirect/fills/__init__.py",
                '    "direct": DirectFill,',
                '    "direct": SingleFlightFill,',
            )
        ],
        ["direct shows the failure"],
    ),
)  # fmt: skip
