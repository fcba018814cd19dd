"""Statistics of a link from its counters: the cost grows with days, not with clicks."""

from __future__ import annotations

import json
from typing import Any

from stack.shortener.clicks.unique_visitors import estimate

DAYS_MAX, REFERRERS_MAX = 366, 50
STATISTICS = f"""SELECT
  (SELECT row_to_json(counted) FROM (
    SELECT total, bots FROM link_clicks WHERE code = $1
  ) AS counted) AS clicks,
  (SELECT json_object_agg(rank, registers) FROM (
    SELECT rank, count(*) AS registers FROM link_visitors WHERE code = $1 GROUP BY rank
  ) AS counted) AS visitors,
  (SELECT json_agg(counted) FROM (
    SELECT day, total, bots FROM day_clicks WHERE code = $1 ORDER BY day DESC LIMIT {DAYS_MAX}
  ) AS counted) AS days,
  (SELECT json_agg(counted) FROM (
    SELECT referrer, total FROM referrer_clicks WHERE code = $1
    ORDER BY total DESC, referrer LIMIT {REFERRERS_MAX}
  ) AS counted) AS referrers"""


async def statistics(connection: Any, code: str) -> dict[str, Any]:
    """Clicks counted so far, by day and by referrer, in one statement.

    `visitors` is an estimate of the number of distinct visitors, without bots.
    """
    row = await connection.fetchrow(STATISTICS, code)
    clicks = json.loads(row["clicks"] or '{"total": 0, "bots": 0}')
    ranks = json.loads(row["visitors"] or "{}")
    return {
        "total": clicks["total"],
        "bots": clicks["bots"],
        "visitors": estimate({int(rank): registers for rank, registers in ranks.items()}),
        "days": json.loads(row["days"] or "[]"),
        "referrers": json.loads(row["referrers"] or "[]"),
    }
