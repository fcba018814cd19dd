"""docs/vocabulary.md is what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.cli.check_commands import KINDS, vocabulary
from tests.support.vocabulary_page import page

PAGE = Path(__file__).parents[3] / "docs" / "vocabulary.md"


def test_the_page_is_up_to_date() -> None:
    """If not: `python -m tests.support.vocabulary_page > docs/vocabulary.md`."""
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_is_on_it_with_what_it_is(kind: str) -> None:
    entries = [*vocabulary(kind)]
    assert entries
    for entry in entries:
        assert entry.about, entry.name
        assert f"- `{entry.name}{entry.signature}`: {entry.about}\n" in page()
