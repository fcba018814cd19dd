"""Links and paths in the documents lead to files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
RECORDS = [page for page in PAGES if re.match(r"\d{4}-", page.name)]
LINK = re.compile(r"\]\((?!\w+:)([^)#]+)(?:#[^)]*)?\)")
PATH = re.compile(r"`((?:chaos|dashboards|reports|scenarios|stack|tests|tools)/[\w./-]+)`")
MADE_BY_RUNNING = (
    *("reports/bench/", "reports/runs/", "chaos/experiments/your_name.py"),
    *("dashboards/experiments/your_name.py", "dashboards/grafana/your-name.json"),
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_path_of_a_page_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [page.parent / link for link in LINK.findall(text)]
    paths = [ROOT / path for path in PATH.findall(text) if not path.startswith(MADE_BY_RUNNING)]
    assert [str(path) for path in links + paths if not path.exists()] == []


def test_the_index_of_decisions_has_each_record_once() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\((\d{4}-[^)]+)\)", index) == [record.name for record in RECORDS]
