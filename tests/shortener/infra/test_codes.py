"""The pattern of a code is the same in Python and in the database."""

from __future__ import annotations

import re
from pathlib import Path

from stack.shortener.api import aliases
from stack.shortener.infra.codes import CODE, MAX_LENGTH

MIGRATIONS = Path(__file__).parents[3] / "stack" / "postgres" / "migrations"


def test_the_check_of_the_table_is_this_pattern() -> None:
    checks = [
        pattern
        for path in sorted(MIGRATIONS.glob("*.sql"))
        for pattern in re.findall(r"code ~ '([^']*)'", path.read_text(encoding="utf-8"))
    ]
    assert checks == [f"^{CODE.pattern}$"]


def test_every_alias_is_a_code() -> None:
    for alias in ("abc", "a" * MAX_LENGTH):
        assert re.search(aliases.PATTERN, alias)
        assert CODE.fullmatch(alias)
    assert not re.search(aliases.PATTERN, "a" * (MAX_LENGTH + 1))


def test_only_one_module_spells_the_pattern() -> None:
    root = MIGRATIONS.parents[1]
    spelt = [path.name for path in root.rglob("*.py") if "A-Za-z0-9_-]{1,64}" in path.read_text("utf-8")]
    assert not spelt
