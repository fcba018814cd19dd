"""A gate's outcome is told alike by table, Markdown, JUnit and page."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from rich.console import Console

from chaos.perf.gate_result import history_entry
from reports.gate_junit import gate_junit
from reports.gate_page import gate_page
from reports.gate_table import gate_table, markdown
from tests.support.gate_launches import counted, document, launch, launches

SLOWER = document(
    launches(6, head=1.1),
    [
        counted("read", "SQL statements", {"base": 1, "again": 1, "head": 2}),
        counted("read", "Redis commands", {"base": 1, "again": 1.4, "head": 2}),
        counted("write", "SQL rows", {"base": 3, "again": 3, "head": 2}),
        counted("write", "SQL statements", {"base": 3, "again": 3, "head": 3}),
    ],
)
SAME = document(launches(4))
VOID = document(launches(4, again=1.2))
UNSEEN = document([])
COUNTED = document([], [counted("read", "SQL statements", {"base": 1, "again": 1, "head": 2})])
HIDDEN = document([launch(n + 1, {"head": (0.5, 2.0)[n % 2]}) for n in range(6)])


def table(of: dict[str, Any]) -> str:
    console = Console(width=110)
    with console.capture() as captured:
        console.print(*gate_table(of), sep="\n")
    return captured.get()


def test_the_table_has_each_metric_with_its_change_and_verdict() -> None:
    text = table(SLOWER)
    assert "FAIL  head is slower than base" in text
    assert "CPU a request" in text
    assert "+10." in text
    assert "SQL statements for each read: 1.00 → 2.00, FAIL" in text
    assert "Redis commands for each read: 1.00 → 2.00, not exact (base again: 1.40)" in text
    assert "SQL rows for each write: 3.00 → 2.00, less than before" in text
    assert "1 other counters are the same" in text


def test_a_void_run_says_by_what() -> None:
    assert "base differs from itself by p50" in table(VOID)
    assert "base differs from itself by p50" in markdown(VOID)


@pytest.mark.parametrize(
    "of",
    [SLOWER, SAME, VOID, UNSEEN, COUNTED, HIDDEN],
    ids=["slower", "same", "void", "unseen", "counted", "hidden"],
)
def test_every_outcome_can_be_told_in_every_way(of: dict[str, Any]) -> None:
    json.dumps(of, allow_nan=False)
    assert of["verdict"] in table(of)
    assert f"shop: {of['verdict']}" in markdown(of)
    assert of["verdict"] in gate_page(of, [history_entry(of)] * 3)
    Xml.fromstring(gate_junit(of))


def test_a_run_that_ended_early_says_why() -> None:
    assert COUNTED["verdict"] == "FAIL"
    assert "a counter decides, so nothing else was measured" in markdown(COUNTED)
    assert "; no launches, 62 s" in markdown(COUNTED)
    assert HIDDEN["verdict"] == "INCONCLUSIVE"
    assert "ended after 6 launches: more would hardly have decided it" in markdown(HIDDEN)
    assert "would hardly" not in markdown(SAME)


def test_arms_that_crowd_their_core_are_told() -> None:
    assert SAME["core_shares"] == pytest.approx([0.03] * 4, rel=0.02)
    assert "of their core" not in markdown(SAME)
    crowded = markdown({**SAME, "core_shares": [0.5, 0.85, 0.61, 0.6]})
    assert "the arms used up to 85 % of their core, and above 60 % in 2 launches" in crowded


def test_a_capacity_that_was_the_clients_is_told() -> None:
    said = "capacity is that of the client"
    assert said not in markdown(SAME)
    assert said in markdown({**SAME, "asked_too_slowly": True})


def test_markdown_is_one_table_of_all_metrics() -> None:
    rows = [line for line in markdown(SLOWER).splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(SLOWER["metrics"])
    assert len({row.count("|") for row in rows}) == 1


def test_junit_counts_what_failed_and_what_is_undecided() -> None:
    suite = Xml.fromstring(gate_junit(SLOWER))[0]
    failed = {case.get("name") for case in suite if case.find("failure") is not None}
    assert {"p50", "p99", "CPU a request", "SQL statements for each read"} <= failed
    assert suite.get("failures") == str(len(failed))
    assert Xml.fromstring(gate_junit(UNSEEN))[0].get("skipped") == "4"
    assert Xml.fromstring(gate_junit(VOID))[0].get("errors") == "1"


def test_the_page_needs_nothing_from_elsewhere_and_escapes_names() -> None:
    odd = {**SLOWER, "service": "<script>"}
    page = gate_page(odd, [])
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_the_page_draws_the_trend_once_there_are_two_runs() -> None:
    entry = history_entry(SAME)
    assert "<h2>Trend</h2>" not in gate_page(SAME, [entry])
    assert "<h2>Trend</h2>" in gate_page(SAME, [entry, entry])
    another = {**entry, "service": "other"}
    assert "<h2>Trend</h2>" not in gate_page(SAME, [entry, another])
