"""Answers that are wrong, or that say something wrong of themselves."""

from tools.sabotage.catalogue import checks as c
from tools.sabotage.model import Edit, Sabotage

HANDLER = "stack/shortener/redirect/handler.py"
SWR = "stack/shortener/redirect/fills/swr.py"
REFILL = "stack/shortener/redirect/refill.py"
LINKS = "stack/shortener/api/links.py"
LINES = "lines = (entry.version, served.encode(), age_ms, entry.url, click_id, request_id)"
HERD = "thundering-herd"

SABOTAGES = (
    Sabotage(
        "another-target",
        "1 % of redirects lead to another link's page.",
        "Visitors land on a stranger's page.",
        HERD,
        ["singleflight"],
        [
            Edit(
                HANDLER,
                LINES,
                'target = entry.url if int(click_id[-4:], 16) % 100 else b"https://example.com/x"\n'
                f"        {LINES.replace('entry.url', 'target')}",
            )
        ],
        [c.ANSWERS],
    ),
    Sabotage(
        "permanent-redirect",
        "Redirects have status 301.",
        "Browsers remember the first target for good, and no further click is counted.",
        HERD,
        ["singleflight"],
        [Edit(HANDLER, 'b"HTTP/1.1 302 Found\\r\\n"', 'b"HTTP/1.1 301 Moved Permanently\\r\\n"')],
        [c.ANSWERS],
    ),
    Sabotage(
        "page-not-redirect",
        "Redirects have status 200.",
        "Visitors see an empty page.",
        HERD,
        ["singleflight"],
        [Edit(HANDLER, 'b"HTTP/1.1 302 Found\\r\\n"', 'b"HTTP/1.1 200 OK\\r\\n"')],
        [c.ANSWERS],
    ),
    Sabotage(
        "version-off-by-one",
        "The fast path gives the version after the link's own.",
        "Stale reads look current.",
        HERD,
        ["singleflight"],
        [Edit(HANDLER, LINES, LINES.replace("entry.version", "entry.version + 1"))],
        [c.ANSWERS],
    ),
    Sabotage(
        "version-of-tomorrow",
        "The fast path gives a version that nobody has written.",
        "Stale reads look current.",
        "stale-cache",
        ["versioned"],
        [Edit(HANDLER, LINES, LINES.replace("entry.version", "entry.version + 1"))],
        [c.WRITTEN, c.ANSWERS],
    ),
    Sabotage(
        "age-divided",
        "The age of what is served is a tenth of the true one.",
        "Stale-while-revalidate looks ten times fresher than it is.",
        HERD,
        ["swr"],
        [
            Edit(
                HANDLER,
                "age_ms = max(now - entry.read_at, 0.0) * 1000",
                "age_ms = max(now - entry.read_at, 0.0) * 100",
            )
        ],
        [c.AGES],
    ),
    Sabotage(
        "stale-called-hit",
        "What was served stale is labelled as a hit.",
        "The cost of stale-while-revalidate is hidden.",
        HERD,
        ["swr"],
        [Edit(SWR, 'return "stale"', 'return "hit"')],
        [c.AGES, c.POSSIBLE],
    ),
    Sabotage(
        "miss-called-near",
        "A reader that queried the database says that its value was in the process's own memory.",
        "The herd is invisible in the answers.",
        HERD,
        ["singleflight"],
        [Edit(REFILL, 'return FillResult(entry, "miss", storing_s or asked_s)',
              'return FillResult(entry, "near", storing_s or asked_s)')],
        [c.POSSIBLE],
    ),
    Sabotage(
        "edit-acknowledged-undone",
        "One edit in eight is acknowledged and rolled back.",
        "Changes that were confirmed are lost.",
        "stale-cache",
        ["versioned"],
        [
            Edit(
                LINKS,
                "            return _changed(row)\n\n        async def read_back(connection: Any) -> "
                "ShortLink | None:\n            row = await connection.fetchrow(READ_BACK, code, owner)",
                "            if row is not None and hash(str(change.url)) % 8 == 0:\n"
                "                await connection.execute(\n"
                '                    "UPDATE links SET version = version - 1 WHERE code = $1", code\n'
                "                )\n"
                "            return _changed(row)\n\n        async def read_back(connection: Any) -> "
                "ShortLink | None:\n            row = await connection.fetchrow(READ_BACK, code, owner)",
            )
        ],
        [c.EXACT, c.ANSWERS],
    ),
    Sabotage(
        "edit-stores-another-target",
        "An edit stores another target than it was given.",
        "Every edited link leads to the wrong page.",
        "stale-cache",
        ["versioned"],
        [Edit(LINKS, "url = coalesce($3, url), disabled", "url = coalesce($3 || 'x', url), disabled")],
        [c.ANSWERS],
    ),
)  # fmt: skip
