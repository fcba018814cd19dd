"""Docstrings begin with a verb or a noun: few may open with a clause like "Whether it listens"."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("chaos", "dashboards", "reports", "scenarios", "stack", "tests", "tools")
OPENINGS = {
    *("how", "what", "whatever", "when", "whenever", "where", "wherever", "whether", "which"),
    *("who", "whoever", "whom", "whose", "why"),
}
SHARE_MAX = 0.03
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Each docstring of a module, and its place as an editor opens it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
            yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", text


def opens_with_a_clause(text: str) -> bool:
    return text.split()[0].strip("`'\",.:;").lower() in OPENINGS


def test_an_opening_is_found_whatever_surrounds_it() -> None:
    for text in ("What there is.", "`Whoever` asks.", "when,\nas here", "Why: a reason."):
        assert opens_with_a_clause(text)
    for text in ("The server.", "Wait until it listens.", "Whole numbers.", "Return what is left."):
        assert not opens_with_a_clause(text)


def test_few_docstrings_open_with_a_clause() -> None:
    found = [
        each
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for each in docstrings(path)
    ]
    clauses = [
        f"{place}: {text.splitlines()[0]}" for place, text in found if opens_with_a_clause(text)
    ]
    assert len(clauses) <= SHARE_MAX * len(found), "\n".join(clauses)
