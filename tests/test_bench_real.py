"""`make bench` from end to end, too short for its figures to mean anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="it needs two cores"),
]


def test_it_measures_a_bare_answer_and_ours_and_keeps_the_figures(tmp_path: Path) -> None:
    order = ["--arm=bare", "--arm=redis", "--rounds=1", "--seconds=0.4", "--format=json"]
    run = subprocess.run(
        [sys.executable, "-m", "bench", *order, f"--into={tmp_path}"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode in (0, 3), run.stderr  # 3: the machine was not quiet
    said = json.loads(run.stdout)
    bare, redis = said["arms"]["bare"], said["arms"]["redis"]
    assert bare["ratio_to_bare"] == 1 > redis["ratio_to_bare"] > 0
    for arm in (bare, redis):
        assert arm["rps"] > 100
        assert 0 < arm["p50_ms"] <= arm["p99_ms"]
        assert arm["cpu_us"] > 1
        assert arm["rss_mb"] > 10
        assert not [problem for problem in arm["problems"] if "times: HTTP" in problem]
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".md"}
