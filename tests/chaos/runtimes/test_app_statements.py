"""Every statement of the shortener has a known purpose; look-ups are told by their text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.runtimes.app_statements import PURPOSES, STRANGE_PURPOSE, purpose_of
from stack.shortener.api import api_keys, link_creation, links
from stack.shortener.clicks import outbox, partitions, retention, store, unique_visitors
from stack.shortener.infra import migrate
from stack.shortener.redirect import click_limits, origin, read_tokens, replica_lag

MODULES = (
    *(api_keys, click_limits, link_creation, links, migrate, origin, outbox, partitions),
    *(read_tokens, replica_lag, retention, store, unique_visitors),
)
SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|CREATE)\s")
FOR_USERS_ALONE = {"_PAGE"}  # a template


def statements() -> Iterator[tuple[str, str]]:
    """The SQL that modules of the shortener hold, by name."""
    for module in MODULES:
        for name, value in vars(module).items():
            if isinstance(value, str) and SQL.match(value) and name not in FOR_USERS_ALONE:
                yield f"{module.__name__.rpartition('.')[2]}.{name}", value


@pytest.mark.parametrize(("name", "text"), [*statements()])
def test_each_statement_of_the_shortener_has_a_purpose(name: str, text: str) -> None:
    assert purpose_of(text) != STRANGE_PURPOSE


def test_no_module_with_sql_is_left_out() -> None:
    root = Path(origin.__file__).parents[1]
    with_sql = {
        path.stem
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and SQL.match(node.value)
        and " FROM " in node.value.replace("\n", " ")
    }
    ours = {module.__name__.rpartition(".")[2] for module in MODULES}
    assert with_sql - ours == {"api_key_commands", "link_statistics"}


@pytest.mark.parametrize(
    ("text", "purpose"),
    [
        (origin.LOOK_UP, "look-up"),
        ("SELECT url FROM links WHERE code = $1", "look-up"),
        ("select version, url\nfrom links where code=$1", "look-up"),
        ('SELECT url FROM "links" WHERE code = $1', "look-up"),
        ("SELECT url FROM public.links, x", "look-up"),
        ("WITH given AS (SELECT url FROM links) SELECT * FROM given", "look-up"),
        ("/* UPDATE links */ SELECT url FROM links", "look-up"),
        (links.PAGE, "look-up"),  # nobody lists links while the lab measures
        (links.SELECT, "read"),
        (links.UPDATE, "write"),
        (links.DELETE, "write"),
        (link_creation.INSERT, "write"),
        (link_creation.INSERT_ALL, "write"),
        (link_creation.INSERT_ONCE, "write"),
        (retention.SWEEP_LINKS, "sweep"),
        ("CREATE INDEX links_newest ON links (created_at)", "schema"),
        ("SELECT total FROM link_clicks WHERE code = $1", "strange"),
        ("SELECT f($1)", "strange"),
        ("SELECT url FROM cached WHERE code = $1", "strange"),
        ("\n  SELECT current_setting($1) AS cur", "session"),
        ("SELECT\n    current_setting($1) AS cur,\n    set_config($2, $3, $4)", "session"),
        ("RELEASE SAVEPOINT $1", "session"),
        ("SELECT $1", "session"),
        ("SELECT 1", "session"),
    ],
)
def test_a_statement_is_told_by_its_text(text: str, purpose: str) -> None:
    assert purpose_of(text) == purpose


def test_no_pattern_would_end_its_quotes_in_sql() -> None:
    assert not [pattern for _, pattern in PURPOSES if "'" in pattern]
