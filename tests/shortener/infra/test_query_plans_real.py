"""Plans of all statements of the shortener: rows are found by an index, at any size."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

import stack.shortener
from chaos.model.stack import Stack
from tests.support.databases import laid_out_database

pytestmark = pytest.mark.real

STATEMENT = re.compile(r"(WITH|SELECT|INSERT|UPDATE|DELETE)\s")
# Read once at start and one page long; or a system table.
SHORT = re.compile(r"schema_migrations|deployment|pg_\w+")
SEED = """
INSERT INTO links (code, url, deleted, expires_at, owner, created_at)
SELECT 'code' || n, 'https://example.org/' || n, n % 5 = 0,
  CASE WHEN n % 3 = 0 THEN now() + make_interval(mins => n - 5000) END,
  CASE WHEN n % 2 = 0 THEN 'owner' || n % 100 END, now() - make_interval(secs => n)
FROM generate_series(1, 20000) AS n;
INSERT INTO api_keys (id, name, hash)
SELECT 'owner' || n, 'somebody', sha256(n::text::bytea) FROM generate_series(1, 5000) AS n;
INSERT INTO idempotency_keys (owner, key, fingerprint, created_at)
SELECT 'owner' || n % 100, 'key' || n, '', now() - make_interval(mins => n)
FROM generate_series(1, 20000) AS n;
CREATE TABLE clicks_20260101 PARTITION OF clicks
FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2026-01-02 00:00+00');
CREATE TABLE clicks_20260102 PARTITION OF clicks
FOR VALUES FROM ('2026-01-02 00:00+00') TO ('2026-01-03 00:00+00');
INSERT INTO clicks (click_id, code, clicked_at)
SELECT 'id' || n, 'code' || n % 1000, '2026-01-01 00:00+00'::timestamptz + make_interval(secs => n)
FROM generate_series(1, 100000) AS n;
INSERT INTO click_outbox (click_id, code, clicked_at, referrer, bot, visitor)
SELECT 'id' || n, 'code1', now(), '', false, 65 FROM generate_series(1, 20000) AS n;
INSERT INTO link_clicks SELECT 'code' || n, 1, 1, 20 FROM generate_series(1, 20000) AS n;
INSERT INTO day_clicks
SELECT 'code' || n, '2026-01-01'::date + day, 1, 1
FROM generate_series(1, 1000) AS n, generate_series(1, 30) AS day;
INSERT INTO referrer_clicks
SELECT 'code' || n, site || '.example', 1
FROM generate_series(1, 1000) AS n, generate_series(1, 20) AS site;
INSERT INTO link_visitors
SELECT 'code' || n, register, 1
FROM generate_series(1, 1000) AS n, generate_series(1, 50) AS register;
"""


def statements() -> dict[str, str]:
    """Collect the SQL constants of the shortener's modules, by module and name."""
    found: dict[str, str] = {}
    for module in pkgutil.walk_packages(stack.shortener.__path__, "stack.shortener."):
        if module.name.endswith("__main__"):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, str) and STATEMENT.match(value) and "{" not in value:
                found[f"{module.name.removeprefix('stack.shortener.')}.{name}"] = value
    return found


STATEMENTS = statements()
WHOLE = {"api.api_key_commands._LIST"}


@pytest.fixture(scope="module")
def full(stack: Stack) -> Iterator[psycopg.Connection]:
    """A database with enough rows for an index to pay off."""
    with laid_out_database(stack) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SEED.encode())
        connection.execute("VACUUM ANALYZE")
        yield connection


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - WHOLE))
def test_a_statement_reads_no_table_from_end_to_end(full: psycopg.Connection, name: str) -> None:
    raw = psycopg.ClientCursor(full)
    raw.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {STATEMENTS[name]}".encode())
    row = raw.fetchone()
    assert row is not None
    plan: dict[str, Any] = (row[0] if isinstance(row[0], list) else json.loads(row[0]))[0]["Plan"]
    scanned = {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"}
    assert not {table for table in scanned if not SHORT.fullmatch(table)}


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("redirect.origin.LOOK_UP", "links_pkey"),
        ("api.links.PAGE", "links_newest"),
        ("api.links.PAGE_OF_OWNER", "links_newest_of_owner"),
        ("clicks.retention.SWEEP_LINKS", "links_expiring"),
        ("clicks.retention.DELETE_KEYS", "idempotency_keys_created_at"),
        ("clicks.outbox.TAKE", "click_outbox_pkey"),
        ("api.link_statistics.STATISTICS", "day_clicks_pkey"),
        ("clicks.store.STORE", "referrer_clicks_pkey"),
    ],
)
def test_the_index_made_for_a_statement_is_used(
    full: psycopg.Connection, name: str, index: str
) -> None:
    raw = psycopg.ClientCursor(full)
    raw.execute(f"EXPLAIN (GENERIC_PLAN) {STATEMENTS[name]}".encode())
    assert index in "\n".join(line for (line,) in raw)


def test_the_statements_of_every_module_are_found() -> None:
    assert {name.rpartition(".")[0] for name in STATEMENTS} >= {
        *("api.api_keys", "api.link_statistics", "api.links", "clicks.outbox", "clicks.partitions"),
        *("clicks.retention", "clicks.store", "clicks.unique_visitors", "infra.migrate"),
        *("redirect.click_limits", "redirect.origin"),
    }
