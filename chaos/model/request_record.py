"""The record of a request: its columns, and the values of those that are enumerations.

The load generator writes them as CSV, `chaos.record` turns them into `requests.parquet`.
"""

from __future__ import annotations

from collections.abc import Mapping

REQUEST_COLUMNS: Mapping[str, str] = {  # DuckDB's type of each, in order
    "segment": "INTEGER",
    "op_id": "VARCHAR",
    "session": "VARCHAR",
    "operation": "VARCHAR",
    "attempt": "INTEGER",  # from 1; further tries of one operation share its op_id
    "last": "BOOLEAN",  # no further try follows
    "rank": "INTEGER",  # a shared link's, or from `Traffic.keys` on for a session's own
    "key": "VARCHAR",
    "version": "BIGINT",  # acknowledged or seen; -1 without
    "target": "VARCHAR",  # written (create, edit) or seen (follow)
    "intended_s": "DOUBLE",
    "sent_s": "DOUBLE",
    "done_s": "DOUBLE",
    "outcome": "VARCHAR",
    "status": "INTEGER",
    "served_from": "VARCHAR",
    "age_ms": "DOUBLE",
    "click_id": "VARCHAR",
    "server": "VARCHAR",  # the Postgres that took a write
    "timeline": "INTEGER",  # of that server; it changes with each promotion
    "error": "VARCHAR",
}
OPERATIONS = ("follow", "create", "edit", "delete", "stats")
OUTCOMES = ("ok", "absent", "fail", "unknown")  # absent: 404 or 410
SERVED_FROM = ("hit", "stale", "early", "wait", "miss", "near")  # values of X-Cache
