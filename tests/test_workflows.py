"""The performance workflows keep what a fork can do apart from what may write."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

WORKFLOWS = Path(__file__).parents[1] / ".github" / "workflows"
PINNED = re.compile(r"[\w./-]+@[0-9a-f]{40}")
READS_ONLY = {"contents": "read"}


def workflow(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((WORKFLOWS / name).read_text(encoding="utf-8"))
    return loaded


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("name", ["perf.yml", "perf-comment.yml"])
def test_every_action_is_pinned_by_its_commit(name: str) -> None:
    used = [step["uses"] for step in steps(name) if "uses" in step]
    assert [each for each in used if not PINNED.fullmatch(each)] == []


def test_what_runs_a_pull_request_may_write_nothing_and_knows_no_secret() -> None:
    assert workflow("perf.yml")["permissions"] == READS_ONLY
    assert all("permissions" not in job for job in workflow("perf.yml")["jobs"].values())
    assert "secrets." not in (WORKFLOWS / "perf.yml").read_text(encoding="utf-8")


def test_what_may_write_comments_runs_nothing_of_a_pull_request() -> None:
    assert not [step for step in steps("perf-comment.yml") if "uses" in step]
    (job,) = workflow("perf-comment.yml")["jobs"].values()
    assert job["permissions"] == {"actions": "read", "pull-requests": "write"}


@pytest.mark.parametrize("name", ["perf.yml", "perf-comment.yml"])
def test_no_script_is_made_of_what_a_stranger_may_choose(name: str) -> None:
    scripts = "".join(step.get("run", "") for step in steps(name))
    assert "${{" not in scripts
