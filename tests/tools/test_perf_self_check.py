"""The gate's self-check: plants fit the code, verdicts are kept and summed up."""

from __future__ import annotations

import ast
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
import pytest
import typer

from chaos.model.stack import StackError
from chaos.perf.json_lines import append_line
from chaos.perf.judging import judgement
from chaos.perf.trouble import WrongInput
from tests.support.gate_launches import SERVICE, counted, launch, outcome
from tests.support.repositories import commit, new_repository
from tools.perf import __main__ as command
from tools.perf.conditions import Conditions, conditions
from tools.perf.plants import PLANTS, Plant
from tools.perf.power_page import BEGIN, END, PICTURE, picture, publish, table
from tools.perf.verdicts import (
    Rate,
    Verdict,
    append,
    naive_verdict,
    on_record,
    summaries,
    verdict_on,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_a_plant_fits_the_code_as_it_is_and_leaves_it_a_program(
    plant: Plant, tmp_path: Path
) -> None:
    if plant.worse:
        (tmp_path / plant.file).parent.mkdir(parents=True)
        shutil.copy(ROOT / plant.file, tmp_path / plant.file)
    plant.apply(tmp_path)
    assert (ROOT / plant.service).exists()
    if plant.worse:
        planted = (tmp_path / plant.file).read_text()
        assert planted != (ROOT / plant.file).read_text()
        ast.parse(planted)


def test_a_plant_whose_place_is_gone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("nothing of it")
    with pytest.raises(WrongInput, match="not once"):
        Plant("x", "perf.toml", "a.py", "old", "new").apply(tmp_path)


HERE = Conditions("gate", "processor")


def verdicts(plant: str, said: Sequence[str], of: Conditions = HERE) -> list[Verdict]:
    changes = {"p50": 0.05}
    return [
        Verdict(plant, one, "PASS", 60.0, 4, "abc", changes, of.sources, of.machine) for one in said
    ]


def test_verdicts_are_read_back_but_for_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "new" / "verdicts.jsonl"
    assert on_record(path, HERE) == []
    kept = verdicts("nothing", ["PASS", "FAIL"])
    append(path, kept[0])
    with path.open("a") as lines:
        lines.write('{"plant": "noth')
    append(path, kept[1])
    assert on_record(path, HERE) == kept


@pytest.mark.parametrize("other", [Conditions("older", "processor"), Conditions("gate", "other")])
def test_verdicts_of_another_gate_or_machine_do_not_count(
    other: Conditions, tmp_path: Path
) -> None:
    path = tmp_path / "verdicts.jsonl"
    for one in [*verdicts("nothing", ["FAIL"], other), *verdicts("nothing", ["PASS"])]:
        append(path, one)
    append_line(path, {**asdict(verdicts("nothing", ["FAIL"])[0]), "sources": "", "machine": ""})
    assert on_record(path, HERE) == verdicts("nothing", ["PASS"])


def test_a_change_of_the_gate_or_a_service_is_another_condition_and_one_elsewhere_is_not(
    tmp_path: Path,
) -> None:
    root = new_repository(tmp_path / "repository")
    commit(root, {"chaos/perf/gate.py": "1", "stack/web.py": "1", "docs/page.md": "1"})
    first = conditions(root)
    commit(root, {"docs/page.md": "2"})
    assert conditions(root) == first
    commit(root, {"stack/web.py": "2"})
    second = conditions(root)
    commit(root, {"chaos/perf/gate.py": "2"})
    assert len({first.sources, second.sources, conditions(root).sources}) == 3
    assert first.machine


@pytest.mark.parametrize("name", ["perf.toml", "stack/new.py", "tools/perf/plants.py"])
def test_what_is_not_committed_is_not_judged_and_so_is_refused(name: str, tmp_path: Path) -> None:
    root = new_repository(tmp_path / "repository")
    commit(root, {"perf.toml": "1", "stack/web.py": "1", "tools/perf/plants.py": "1"})
    (root / "docs").mkdir()
    (root / "docs" / "page.md").write_text("more")
    conditions(root)
    (root / name).write_text("2")
    with pytest.raises(WrongInput, match=rf"not be measured \({name}\): commit or stash them$"):
        conditions(root)


def test_a_self_check_of_changes_that_are_not_committed_ends_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(_: Path) -> Conditions:
        raise WrongInput("the tree has changes")

    monkeypatch.setattr(command, "conditions", refused)
    with pytest.raises(typer.Exit) as ended:
        command.self_check(1, 0, [], tmp_path / "verdicts.jsonl", write=False)
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err == "the tree has changes\n"


class Judge:
    """Says what is set of each plant, and counts how often it was asked."""

    def __init__(self, said: Mapping[str, str | Exception]) -> None:
        self.said = said
        self.asked: list[str] = []

    def __call__(self, plant: Plant, _cores: object, here: Conditions) -> Verdict:
        self.asked.append(plant.name)
        said = self.said[plant.name]
        if isinstance(said, Exception):
            raise said
        return verdicts(plant.name, [said], here)[0]


def self_check(
    monkeypatch: pytest.MonkeyPatch, record: Path, judge: Judge, **options: int
) -> int | None:
    """The exit code of a self-check of all plants that the judge knows."""
    monkeypatch.setattr(command, "_verdict", judge)
    monkeypatch.setattr(command, "choose", lambda: None)
    monkeypatch.setattr(command, "conditions", lambda _: HERE)
    with pytest.raises(typer.Exit) as ended:
        command.self_check(
            options.get("count", 1), options.get("more", 0), [*judge.said], record, write=False
        )
    return ended.value.exit_code


@pytest.mark.parametrize("error", [WrongInput("has it not once"), StackError("no port")])
def test_a_plant_that_cannot_be_judged_does_not_end_the_others(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    judge = Judge({"spin 100": error, "spin 200": "FAIL"})
    record = tmp_path / "verdicts.jsonl"
    assert self_check(monkeypatch, record, judge) == 2
    assert [v.plant for v in on_record(record, HERE)] == ["spin 200"]


def test_false_alarms_that_are_surely_more_than_stated_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    record = tmp_path / "verdicts.jsonl"
    for one in verdicts("nothing", ["PASS"] * 40):
        append(record, one)
    judge = Judge({"nothing": "FAIL", "spin 800": "FAIL"})
    assert self_check(monkeypatch, record, judge, more=1) == 0
    assert self_check(monkeypatch, record, judge, more=3) == 1


def test_more_verdicts_are_taken_of_each_plant_whatever_is_on_record(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    record = tmp_path / "verdicts.jsonl"
    judge = Judge({"nothing": "PASS", "spin 100": "FAIL"})
    assert self_check(monkeypatch, record, judge, count=1) == 0
    assert self_check(monkeypatch, record, judge, count=1) == 0
    assert judge.asked == ["nothing", "spin 100"]
    self_check(monkeypatch, record, judge, count=1, more=2)
    assert judge.asked == ["nothing", "spin 100"] * 3


def test_a_rate_has_the_bounds_of_clopper_and_pearson() -> None:
    assert Rate(0, 60).bounds == pytest.approx((0, 0.0596), abs=1e-3)
    assert Rate(19, 20).bounds == pytest.approx((0.7513, 0.9987), abs=1e-3)
    assert str(Rate(1, 2)) == "50 % [1 %, 99 %]"


def test_a_summary_counts_what_was_said_and_what_the_plant_did() -> None:
    known = verdicts("nothing", ["PASS", "PASS", "VOID"]) + verdicts("spin 100", ["FAIL"])
    nothing, spin = summaries(known, ["nothing", "spin 50", "spin 100"])
    assert (nothing.failed.hits, nothing.others) == (0, {"PASS": 2, "VOID": 1})
    assert (spin.failed, spin.dose("p50")) == (Rate(1, 1), 0.05)
    assert math.isnan(spin.dose("p99"))


def test_a_plain_gate_takes_the_first_base_and_the_head_after_it() -> None:
    calm = [launch(1), launch(2)]
    assert naive_verdict(judgement(SERVICE, calm, [])) == "PASS"
    assert naive_verdict(judgement(SERVICE, [launch(1), launch(2, {"head": 1.1})], [])) == "FAIL"
    drifted = [launch(1), launch(2, {"base": 1.1, "head": 1.1, "again": 1.1})]
    assert naive_verdict(judgement(SERVICE, drifted, [])) == "FAIL"
    assert np.isfinite(judgement(SERVICE, drifted, []).metrics[0].figures["base"]).all()


def test_a_plain_gate_says_nothing_where_a_counter_ended_the_run(tmp_path: Path) -> None:
    more = counted("read", "SQL statements", {"base": 1, "again": 1, "head": 2})
    verdict = verdict_on("sql", outcome([], [more]), 9.0, "abc", HERE)
    assert (verdict.verdict, verdict.naive, verdict.changes) == ("FAIL", "", {})
    append(tmp_path / "verdicts.jsonl", verdict)
    (summary,) = summaries(on_record(tmp_path / "verdicts.jsonl", HERE), ["sql"])
    assert (summary.failed, summary.failed_by_naive) == (Rate(1, 1), Rate(0, 0))
    assert "| 100 % [2 %, 100 %] | – |" in table([summary])
    Xml.fromstring(picture([summary]))


def test_table_and_picture_take_the_marked_place_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "gate.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    (tmp_path / "pictures").mkdir()
    known = summaries(verdicts("nothing", ["PASS"]), ["nothing"])
    publish(known, page, "Measured here.")
    text = page.read_text()
    assert text.startswith("before")
    assert text.endswith("after\n")
    assert "old" not in text
    assert table(known) in text
    Xml.fromstring((tmp_path / PICTURE).read_text())
    assert "nothing" in picture(known)
