"""report.html: complete, offline, and written even from an incomplete record."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from chaos.experiments import load
from chaos.model.experiment import ACKNOWLEDGED, LATENCY, ROLES, Strip
from reports import timelines
from reports.arm_time import ArmSpan
from reports.ledgers import FIGURES
from reports.page import write_report
from reports.run_history import RunHistory, read_history
from tests.support.results import judged_busy_run, judged_run

STRIPS = load("thundering-herd").strips


class Reader(HTMLParser):
    """The text of a page, and the URLs that a browser would fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.texts: list[str] = []
        self._silent = 0
        self.feed(page)
        self.close()

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._silent += tag in ("script", "style")
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href", "action")]

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.texts.append(data)


def page_of(run_dir: Path) -> Reader:
    return Reader(write_report(run_dir).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "run"
    judged_run(path)
    write_report(path)
    return path / "report.html"


def test_it_says_question_answer_verdict_limits_and_how_to_repeat_the_run(passed: Path) -> None:
    text = Reader(passed.read_text(encoding="utf-8")).text

    for said in (
        "How many requests reach the database?",
        "PASS 28.2 origin queries per expiry without a fix, 1.0 to 2.2 with one.",
        "12 of 12",
        "λ 227/s · δ 121 ms · λδ 27.4",
        "all that was acknowledged is in the primary, exactly once",
        "Dotted: the expiries.",
        "Shaded: replica link +120 ms.",
        "What the numbers can't tell",
        "All 10,325 requests for the hot key are drawn.",
        "linkstorm run …",
        "CACHE_FILL=singleflight",
    ):
        assert said in text


def test_its_sections_stand_in_the_order_of_reading(passed: Path) -> None:
    text = Reader(passed.read_text(encoding="utf-8")).text
    headings = ["How many", "Arms", "Timelines", "Did the acts", "Does the primary",
                "Claims", "What the numbers",
                "Where they come from"]  # fmt: skip

    places = [text.index(heading) for heading in headings]
    assert places == sorted(places)


def test_it_fetches_nothing(passed: Path) -> None:
    page = passed.read_text(encoding="utf-8")

    assert Reader(page).fetched == []
    assert "default-src 'none'" in page


def test_it_is_small(passed: Path) -> None:
    assert passed.stat().st_size < 4e6


def test_there_is_a_strip_for_every_arm_and_kind(passed: Path) -> None:
    assert passed.read_text(encoding="utf-8").count('<div class="strip">') == 4 * 6


def test_a_run_that_stopped_shows_why_and_what_it_has(tmp_path: Path) -> None:
    judged_run(tmp_path / "run", "part dies")
    page = page_of(tmp_path / "run")

    assert re.search(r"Stopped early; \d+ of \d+ claims and checks could not be judged.", page.text)
    assert "MemoryError" in page.text


def test_an_invalid_run_warns_of_its_own_numbers(tmp_path: Path) -> None:
    result = judged_run(tmp_path / "run", "one unsent")
    (late,) = (check for check in result["checks"] if check["verdict"] == "INVALID")
    text = page_of(tmp_path / "run").text

    assert "INVALID the machine was too busy for these numbers to mean anything" in text
    assert f"saw: {late['observed']} next end other work on this machine" in text
    assert "Its figures are shown to find out why, not to be used." in text
    assert text.count("shown unproven") == 1
    assert text.count("PASS unproven") == 5 + len(result["claims"])


@pytest.mark.parametrize(
    "name",
    [
        "requests.parquet",
        "look_ups.parquet",
        "samples.parquet",
        "events.jsonl",
        "plan.json",
        "verdict.json",
    ],
)
def test_a_file_that_is_missing_is_named_and_the_page_is_written(tmp_path: Path, name: str) -> None:
    judged_run(tmp_path / "run", fix="lock")
    (tmp_path / "run" / name).unlink()

    text = page_of(tmp_path / "run").text

    assert name == "plan.json" or name in text
    assert "How many requests reach the database?" in text


def test_an_empty_directory_gets_a_page_that_says_so(tmp_path: Path) -> None:
    assert "The run has not been judged" in page_of(tmp_path).text


@pytest.mark.parametrize("name", ["requests.parquet", "events.jsonl", "verdict.json"])
def test_a_damaged_file_is_no_reason_for_no_page(tmp_path: Path, name: str) -> None:
    judged_run(tmp_path / "run", fix="lock")
    (tmp_path / "run" / name).write_bytes(b"PAR1 no \xff")

    assert "h1" in page_of(tmp_path / "run").tags


def test_hostile_text_is_only_text(tmp_path: Path) -> None:
    result = judged_run(tmp_path / "run", fix="swr")
    whole = json.dumps(result).replace("swr", "<img src=x>").replace("SELECT 1", "</table><b>")
    (tmp_path / "run" / "verdict.json").write_text(whole)
    events = (tmp_path / "run" / "events.jsonl").read_text().replace("swr", "<img src=x>")
    (tmp_path / "run" / "events.jsonl").write_text(events)

    page = page_of(tmp_path / "run")

    assert "img" not in page.tags
    assert "b" not in page.tags
    assert "<img src=x>" in page.text


def many_acts(result: dict[str, Any]) -> None:
    result["acts"] *= 100
    result["acts"].append(result["acts"][0] | {"arm": "the bad one", "proven": False})


def test_of_many_injections_those_are_listed_that_prove_nothing(tmp_path: Path) -> None:
    result = judged_run(tmp_path / "run", fix="lock")
    many_acts(result)
    (tmp_path / "run" / "verdict.json").write_text(json.dumps(result))

    page = page_of(tmp_path / "run")

    assert "100 of 401 injections, those first that prove nothing" in page.text
    assert "the bad one" in page.text
    assert page.tags.count("tr") < 200


def test_it_says_what_it_does_not_draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = judged_run(tmp_path / "run", "requests fail")
    monkeypatch.setattr(read_history, "__defaults__", (1200,))

    text = page_of(tmp_path / "run").text

    drawn = re.search(
        r"Of [\d,]+ requests for the hot key ([\d,]+) are drawn: all of an arm's first 100 ms,"
        r" one in \d+, each of the (\d+) that did not succeed, and the slowest and the oldest of"
        r" each 250 ms of an arm. Rates, percentiles and look-ups count every request.",
        text,
    )
    assert drawn is not None
    assert 600 < int(drawn[1].replace(",", "")) < 1800
    assert int(drawn[2]) == sum(arm["measures"]["failed"]["value"] for arm in result["arms"])


def test_a_long_round_opens_with_its_beginning_and_many_rounds_have_few_buttons(
    tmp_path: Path,
) -> None:
    judged_run(tmp_path / "run", fix="lock")
    own = read_history(tmp_path / "run", {"lock": []}, STRIPS).arms["lock"]
    long, many = (
        timelines.timelines(RunHistory({"lock": replace(own, rounds=rounds)}), STRIPS, None)
        for rounds in (
            [ArmSpan("round 1", 0, 100)],
            [ArmSpan(f"round {number + 1}", 4 * number, 4 * number + 3.5) for number in range(500)],
        )
    )

    assert long is not None
    assert dict(long.windows) == {"first 10 s": (0, 10), "round 1": (0, 100)}
    assert many is not None
    assert list(many.windows)[-2:] == ["round 8", "all rounds"]
    assert many.windows["all rounds"] == (0, 1999.5)


def test_what_a_server_answered_cannot_end_the_script(tmp_path: Path) -> None:
    judged_run(tmp_path / "run", fix="lock")
    own = read_history(tmp_path / "run", {"lock": []}, STRIPS).arms["lock"]
    own.points[0]["what"][0] = "</script><b>"

    lines = timelines.timelines(RunHistory({"lock": own}), STRIPS, None)

    assert lines is not None
    assert Reader(lines.script).tags == ["script"]


def test_an_arm_without_any_request_can_be_drawn(tmp_path: Path) -> None:
    judged_run(tmp_path / "run", fix="lock")
    own = read_history(tmp_path / "run", {"lock": []}, STRIPS).arms["lock"]
    for columns in (own.points[0], own.look_ups[0]):
        columns.update({name: column[:0] for name, column in columns.items()})

    assert timelines.timelines(RunHistory({"lock": own}), STRIPS, None) is not None


SAMPLED = [
    Strip("Commands", "commands", "samples", "redis.commands", per_s=True),
    Strip("Waiting", "<b>clicks</b>", "samples", "clicks_waiting"),
    Strip("Nobody", "s", "samples", "no.such_thing"),
]
MOVED = [ROLES, ACKNOWLEDGED]


@pytest.mark.parametrize(
    "judged", [partial(judged_run, fix="lock"), judged_busy_run], ids=["herd", "busy"]
)
@pytest.mark.parametrize("flaws", [(), ("requests fail",)])
def test_every_figure_is_one_that_bokeh_accepts(
    judged: Callable[..., dict[str, Any]],
    flaws: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    result = judged(tmp_path / "run", *flaws)
    strips = [*STRIPS, LATENCY, Strip("All look-ups", "queries", "look-ups"), *SAMPLED, *MOVED]
    arms = {arm["name"]: arm["events_s"] for arm in result["arms"]}
    history = read_history(tmp_path / "run", arms, strips)
    quick = timelines.timelines(history, strips, "direct")
    monkeypatch.setattr(timelines, "unchecked", nullcontext)
    checked = timelines.timelines(history, strips, "direct")
    assert [record.getMessage() for record in caplog.records] == []
    assert quick is not None
    assert checked is not None
    assert [panel.title for panel in quick.panels] == ["Rate", *(strip.title for strip in strips)]
    assert without_ids(quick.script) == without_ids(checked.script)
    assert "<b>" not in quick.script


def without_ids(script: str) -> str:
    return re.sub(r'"p\d+"|[0-9a-f]{8}-[0-9a-f-]{27}', "", script)


# --- other failures ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Reader]:
    path = tmp_path_factory.mktemp("busy") / "run"
    result = judged_busy_run(path)
    return result, page_of(path)


def test_any_failure_is_told_with_its_own_words(busy: tuple[dict[str, Any], Reader]) -> None:
    for said in (
        "Redis dies. What is lost?",
        "25 clicks lost without a fix, 0 with one.",
        "Shaded: redis killed.",
        "up to 3 tries each",
    ):
        assert said in busy[1].text
    for unsaid in (
        "Dotted",
        "theory",
        "idle behind its link",
        "no client retries",
        "expir",
        "key's",
    ):
        assert unsaid not in busy[1].text


def test_each_arm_has_a_row_for_each_ledger(busy: tuple[dict[str, Any], Reader]) -> None:
    result, page = busy
    for arm in result["arms"]:
        for kind in ("clicks", "links", "edits"):
            counts = [str(arm["ledgers"][kind][name]) for name in FIGURES]
            assert f"{arm['name']} {kind} {' '.join(counts)}" in page.text


def test_what_was_not_asked_stands_with_the_claims(tmp_path: Path) -> None:
    result = judged_run(tmp_path / "run", fix="lock")
    assert "swr: waited ≤ 0.5 redirects" in result["not_asked"]

    text = page_of(tmp_path / "run").text

    claims = text[text.index("Claims") : text.index("Checks of the run")]
    for asked in result["not_asked"]:
        assert f"{asked} not asked, since an arm was left out" in claims


def test_a_censored_figure_says_at_least(tmp_path: Path) -> None:
    result = judged_busy_run(tmp_path / "run")
    measure = result["arms"][0]["measures"][result["headline"]]
    measure |= {"value": 8.2, "low": 7.0, "high": 8.5, "unit": "s", "at_least": True}
    result["arms"][1]["measures"][result["headline"]] |= {"unit": "s"}
    (tmp_path / "run" / "verdict.json").write_text(json.dumps(result))

    text = page_of(tmp_path / "run").text

    assert "≥ 8.2 s clicks lost without a fix, 0 s with one." in text
    assert "≥ 8.2 s [7.0 s, –]" in text
    assert "An arrow: at least so much" in text


def test_no_word_of_one_experiment_is_in_the_package() -> None:
    special = re.compile(r"hot|herd|expir|\borigin\b|cache_fill|\bfaults?\b", re.IGNORECASE)
    found = [
        f"{path.name}: {line.strip()}"
        for path in Path(timelines.__file__).parent.rglob("*")
        if path.suffix in (".py", ".html", ".js", ".css") and "runs" not in path.parts
        for line in path.read_text(encoding="utf-8").splitlines()
        if special.search(line.replace("hot_share", ""))
    ]
    assert found == []
