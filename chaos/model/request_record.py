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
    "rank": "INTEGER",
    "key": "VARCHAR",
    "version": "BIGINT",
    "intended_s": "DOUBLE",
    "sent_s": "DOUBLE",
    "done_s": "DOUBLE",
    "outcome": "VARCHAR",
    "status": "INTEGER",
    "served_from": "VARCHAR",
    "age_ms": "DOUBLE",
    "click_id": "VARCHAR",
    "error": "VARCHAR",
}
OUTCOMES = ("ok", "fail", "unknown")
SERVED_FROM = ("hit", "stale", "early", "wait", "miss", "near")  # values of X-Cache
