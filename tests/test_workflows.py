"""The performance workflows keep what a fork can do apart from what may write."""

from __future__ import annotations

import os
import re
import subprocess
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


def summarised(folder: Path) -> str:
    """The comment that the gate's job leaves of what lies in a folder; its job summary is alike."""
    (step,) = (one for one in steps("perf.yml") if one.get("name") == "Summary")
    assert step["if"] == "always()"
    told = folder / "told.md"
    known = {"GITHUB_SERVER_URL": "https://forge", "GITHUB_REPOSITORY": "a/b", "GITHUB_RUN_ID": "9"}
    set_ = {"NUMBER": "7", "HEAD": "0123456789abcdef", "GITHUB_STEP_SUMMARY": str(told)}
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    subprocess.run(shell, cwd=folder, env=os.environ | known | set_, check=True)
    assert (folder / "comment" / "number").read_text() == "7\n"
    text = (folder / "comment" / "summary.md").read_text()
    assert told.read_text() == text
    return text


def test_the_comment_has_the_outcome_of_the_last_run(tmp_path: Path) -> None:
    for name, verdict in (("1-shop", "VOID"), ("2-shop", "PASS")):
        (tmp_path / "reports" / "perf" / name).mkdir(parents=True)
        (tmp_path / "reports" / "perf" / name / "summary.md").write_text(verdict)
    assert summarised(tmp_path) == "PASS"


def test_a_push_that_could_not_be_measured_replaces_the_comment_of_the_one_before(
    tmp_path: Path,
) -> None:
    (tmp_path / "reports" / "perf" / "1-shop" / "logs").mkdir(parents=True)
    text = summarised(tmp_path)
    assert "could not be measured" in text
    assert "0123456789 was not compared" in text
    assert "https://forge/a/b/actions/runs/9" in text


def test_a_self_check_that_fails_keeps_its_verdicts() -> None:
    check = workflow("perf.yml")["jobs"]["self-check"]["steps"]
    (restored,) = (one for one in check if "cache/restore@" in one.get("uses", ""))
    (saved,) = (one for one in check if "cache/save@" in one.get("uses", ""))
    assert saved["if"] == "always()"
    assert (saved["with"]["key"], saved["with"]["path"]) == (
        restored["with"]["key"],
        restored["with"]["path"],
    )
    assert restored["with"]["key"].startswith(restored["with"]["restore-keys"].strip())
