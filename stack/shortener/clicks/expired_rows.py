"""Rows that have had their time: expired links are ended, forgotten idempotency keys deleted.

A link that expired long ago, and was not changed since, is ended like a deleted one: its row stays,
since its code is never given to anybody else, and its target goes. From then on it is answered with
404 instead of 410. The cache need not be told: what it has of the link says that it expired, too.
"""

from __future__ import annotations

from typing import Any

_AT_ONCE = 500  # rows in a transaction, which is short and holds up no other
# The rows are chosen first, as an array: a join would read the whole table where that looks cheap.
END_EXPIRED = f"""UPDATE links
SET deleted = true, url = '', version = version + 1, updated_at = now()
WHERE code = ANY (ARRAY(
  SELECT code FROM links WHERE NOT deleted AND expires_at < now() - make_interval(secs => $1)
    AND updated_at < now() - make_interval(secs => $1)
  ORDER BY expires_at LIMIT {_AT_ONCE} FOR UPDATE SKIP LOCKED
)) RETURNING code"""
FORGET_KEYS = f"""DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM idempotency_keys WHERE created_at < now() - make_interval(secs => $1)
  ORDER BY created_at LIMIT {_AT_ONCE} FOR UPDATE SKIP LOCKED
)) RETURNING key"""


async def end_expired(connection: Any, kept_s: float) -> int:
    """End some of the links that expired and rested at least that long, and say how many."""
    return len(await connection.fetch(END_EXPIRED, kept_s))


async def forget_keys(connection: Any, kept_s: float) -> int:
    """Delete some of the idempotency keys that old, and say how many."""
    return len(await connection.fetch(FORGET_KEYS, kept_s))
