"""A run that was made larger is judged as the run that it was made from."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from chaos.experiments import load as load_experiment
from chaos.judge.results import as_json
from chaos.judge.verdict import judge
from chaos.model.experiment import Experiment
from chaos.record.reader import read_evidence
from tests.support.busy import busy
from tests.support.fake_stack import World
from tests.support.results import judged_busy_run, judged_run
from tools.bench.record_size import CommandCost, Figures, claims_apart
from tools.bench.repeated import Shape, read_source, repeat

COPIES = 3


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "small"
    judged_run(path)
    return path


@pytest.fixture(scope="module", params=list(Shape))
def large(request: pytest.FixtureRequest, small: Path, tmp_path_factory: Any) -> Path:
    path: Path = tmp_path_factory.mktemp("bench") / "large"
    repeat(read_source(small), path, COPIES, request.param)
    return path


def claims(result: dict[str, Any]) -> dict[str, str]:
    """The verdict of each claim; checks see that the record was made (see tools.bench.repeated)."""
    return {claim["text"]: claim["verdict"] for claim in result["claims"]}


def judged(path: Path, of: Experiment | None = None) -> dict[str, Any]:
    experiment, evidence = of or load_experiment("thundering-herd"), read_evidence(path)
    return as_json(judge(experiment, evidence), experiment, evidence, path)


def test_every_claim_comes_out_as_it_did(small: Path, large: Path) -> None:
    before, after = judged(small), judged(large)

    assert claims(after) == claims(before)
    assert (before["verdict"], after["verdict"]) == ("PASS", "INVALID")
    for old, new in zip(before["arms"], after["arms"], strict=True):
        assert new["inputs"] == pytest.approx(old["inputs"], rel=0.02)


def test_there_is_so_many_times_as_much_of_everything(small: Path, large: Path) -> None:
    before, after = judged(small), judged(large)

    assert after["generator"]["sent"] == COPIES * before["generator"]["sent"]
    for old, new in zip(before["arms"], after["arms"], strict=True):
        told, many = old["ledgers"]["clicks"], new["ledgers"]["clicks"]
        assert many["acknowledged"] == COPIES * told["acknowledged"] > 0
    for name in ("op_id", "click_id", "session", "sent_s"):
        sql = f"SELECT count(DISTINCT {name}) FROM '{{}}'"
        ((few,), (many,)) = (
            duckdb.execute(sql.format(path / "requests.parquet")).fetchone() or (0,)
            for path in (small, large)
        )
        assert many == pytest.approx(COPIES * few, abs=3)


def test_more_rounds_have_links_of_their_own_that_are_written(tmp_path: Path) -> None:
    before = judged_busy_run(tmp_path / "small")
    repeat(read_source(tmp_path / "small"), tmp_path / "large", COPIES, Shape.MORE_ROUNDS)
    after = judged(tmp_path / "large", busy(World()))

    assert claims(after) == claims(before)
    for old, new in zip(before["arms"], after["arms"], strict=True):
        for kind, ledger in old["ledgers"].items():
            assert new["ledgers"][kind] == {name: COPIES * n for name, n in ledger.items()}


def test_counters_never_go_back(large: Path) -> None:
    falls = """
        SELECT count(*) FROM (
            SELECT value - lag(value) OVER (ORDER BY t_s) AS step FROM '{}'
            WHERE name = 'redis.commands') WHERE step < 0
    """.format(large / "samples.parquet")

    assert duckdb.execute(falls).fetchall() == [(0,)]


@pytest.mark.parametrize("shape", Shape)
def test_the_luck_of_a_small_run_is_not_repeated(small: Path, tmp_path: Path, shape: Shape) -> None:
    """Its requests and those for the hot link are a few per cent off the plan, as they may be."""
    repeat(read_source(small), tmp_path / "large", 40, shape)
    before, after = judged(small), judged(tmp_path / "large")

    assert claims(after) == claims(before)
    assert before["verdict"] == "PASS"
    for old, new in zip(before["arms"], after["arms"], strict=True):
        assert new["inputs"] == pytest.approx(old["inputs"], rel=0.05)


@pytest.mark.parametrize("large", [Shape.MORE_ROUNDS], indirect=True)
@pytest.mark.parametrize("name", ["herd[1]", "it's", "segment=3", os.fsdecode(b"no\xffutf-8")])
def test_a_directory_of_any_name_is_read_and_written_by_that_name_alone(
    name: str, small: Path, large: Path, tmp_path: Path
) -> None:
    shutil.copytree(small, tmp_path / name)
    shutil.copytree(large, tmp_path / "herd1")
    into = tmp_path / "copies" / name
    repeat(read_source(tmp_path / name), into, COPIES, Shape.MORE_ROUNDS)

    after, before = judged(into), judged(small)
    assert claims(after) == claims(before)
    for old, new in zip(before["arms"], after["arms"], strict=True):
        told, many = old["ledgers"]["clicks"], new["ledgers"]["clicks"]
        assert many["acknowledged"] == COPIES * told["acknowledged"] > 0
    assert {path.name for path in into.iterdir()} == {path.name for path in large.iterdir()}
    assert list(into.parent.iterdir()) == [into]


@pytest.mark.timeout(180)
def test_the_command_ends_with_the_figures_of_a_run_that_is_large_enough(
    small: Path, tmp_path: Path
) -> None:
    wanted = read_source(small).requests + 1
    words = [
        "record",
        "--run",
        str(small),
        "--into",
        str(tmp_path / "large"),
        "--requests",
        str(wanted),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tools.bench", *words, "--format", "json"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    figures = json.loads(done.stdout)
    assert done.returncode == bool(figures["missed"]), done.stderr
    # its time depends on what else the machine does
    assert (figures["copies"], set(figures["missed"]) - {"15 s"}) == (2, set())
    assert figures["requests"] >= wanted
    assert figures["report"]["seconds"] > 0


def test_a_claim_that_comes_out_otherwise_is_named(tmp_path: Path) -> None:
    one, other = {"a": "PASS", "b": "PASS", "c": "PASS"}, {"a": "PASS", "b": "FAIL"}
    for name, verdicts in (("one", one), ("other", other)):
        claims = [{"text": text, "verdict": verdict} for text, verdict in verdicts.items()]
        (tmp_path / name).mkdir()
        (tmp_path / name / "verdict.json").write_text(json.dumps({"claims": claims}))
    assert claims_apart(tmp_path / "one", tmp_path / "one") == []
    assert claims_apart(tmp_path / "one", tmp_path / "other") == ["b", "c"]


def test_it_is_marked_as_made(large: Path) -> None:
    plan = json.loads((large / "plan.json").read_text(encoding="utf-8"))

    assert plan["command"].startswith("python -m tools.bench record")


@pytest.mark.parametrize(
    ("requests", "seconds", "rss_mb", "page_mb", "missed"),
    [
        (1_000_000, 14.9, 999, 9.9, []),
        (1_000_000, 15.1, 500, 3, ["15 s"]),
        (10_000_000, 90, 500, 3, []),
        (10_000_000, 90, 1001, 10.1, ["1000 MB of memory", "10 MB of report"]),
    ],
)
def test_an_exceeded_limit_is_named(
    requests: int, seconds: float, rss_mb: float, page_mb: float, missed: list[str]
) -> None:
    judge_cost, report_cost = CommandCost(seconds - 1, rss_mb), CommandCost(seconds, 100)
    figures = Figures(requests, Shape.LONGER, 100, 40, judge_cost, report_cost, page_mb)

    assert figures.missed == missed
