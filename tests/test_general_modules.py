"""The general modules of the lab know of no single experiment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GENERAL = ("model", "engine", "judge", "record", "acts", "measures")
WORDS = re.compile(
    r"\bexpir(y|ies|es|ed|ing)\b|hot[ _-]?key|\borigin|herd|(?<!\.)\bfill(s|ed|ing)?\b",
    re.I,
)
MODULES = [path for part in GENERAL for path in sorted((ROOT / "chaos" / part).rglob("*.py"))]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_general_module_has_no_word_of_one_experiment(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("hot_share", "")
    assert [line.strip() for line in text.splitlines() if WORDS.search(line)] == []


@pytest.mark.parametrize(
    ("line", "is_seen"),
    [
        ("HERD = 1", True),
        ("the hot key", True),
        ("hotkey", True),
        ("# one expiry", True),
        ("origin_queries", True),
        ("to fill it", True),
        ("subprocess.TimeoutExpired", False),
        ("column.filled(0)", False),
        ("a filler", False),
    ],
)
def test_such_a_word_is_seen_wherever_it_stands(line: str, is_seen: bool) -> None:
    assert bool(WORDS.search(line)) is is_seen
