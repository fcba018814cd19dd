"""The gate from end to end, on a small service whose cost is known."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from chaos.perf.launches import read_launch
from chaos.runtimes.embedded.lab_processes import members
from tests.support.gated_service import SERVICE, ended, gate, server, service_repository
from tests.support.repositories import commit

pytestmark = [
    pytest.mark.real,
    pytest.mark.alone,
    pytest.mark.timeout(400),
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="it needs two cores"),
]


def worktrees(root: Path) -> Sequence[str]:
    listed = ["git", "-C", str(root), "worktree", "list"]
    return subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()


def test_twice_the_work_fails_and_everything_is_on_record(tmp_path: Path) -> None:
    root = service_repository(tmp_path / "service", server(work_us=300))
    commit(root, {"server.py": server(work_us=600)})
    code, out, errors = ended(root, "--base=HEAD~1", "--seed=3")
    document = json.loads(out)
    assert (code, document["verdict"]) == (1, "FAIL"), errors
    changes = {metric["figure"]: metric["change"] for metric in document["metrics"]}
    assert 0.3 < changes["cpu"] < 1.5
    assert 0.3 < changes["capacity"] < 1.5
    (kept,) = (path for path in (tmp_path / "gates").iterdir() if path.is_dir())
    assert {path.name for path in kept.iterdir()} == {
        *("logs", "samples", "result.json", "summary.md", "junit.xml", "report.html"),
    }
    launches = [read_launch(path) for path in sorted((kept / "samples").iterdir())]
    assert len(launches) == document["launches"]
    assert sum(len(launch.statuses) for launch in launches) == document["requests"]
    for launch in launches:
        there, back = launch.block_arms[:3].tolist(), launch.block_arms[3:].tolist()
        assert sorted(there) == [0, 1, 2]
        assert back == there[::-1]
        assert launch.block_answers.min() > 50
    history = (tmp_path / "gates" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["verdict"] for line in history] == ["FAIL"]
    assert len(worktrees(root)) == 1


def test_unchanged_code_blocks_nobody(tmp_path: Path) -> None:
    root = service_repository(tmp_path / "service", server(work_us=300))
    commit(root, {"README": "words only"})
    code, out, errors = ended(root, "--base=HEAD~1")
    verdict = json.loads(out)["verdict"]
    assert verdict in ("PASS", "INCONCLUSIVE", "VOID"), errors
    assert code == (3 if verdict == "VOID" else 0)


def test_one_more_of_what_is_counted_fails_whatever_the_noise(tmp_path: Path) -> None:
    root = service_repository(tmp_path / "service", server(asks=1))
    commit(root, {"server.py": server(asks=2)})
    code, out, errors = ended(root, "--base=HEAD~1")
    document = json.loads(out)
    (counter,) = (one for one in document["counters"] if one["counter"] == "asked")
    assert (counter["base"], counter["head"], counter["verdict"]) == (1, 2, "FAIL")
    assert (code, document["verdict"], document["launches"]) == (1, "FAIL", 0), errors


def test_wrong_answers_fail(tmp_path: Path) -> None:
    root = service_repository(tmp_path / "service", server())
    commit(root, {"server.py": server(wrong=0.5)})
    code, out, errors = ended(root, "--base=HEAD~1")
    assert out, errors
    document = json.loads(out)
    assert document["wrong"]["decides"], errors
    assert code == (3 if document["verdict"] == "VOID" else 1)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("raise SystemExit('no such luck')", server(), r"base (HEAD~1, "),
        (server(), "raise SystemExit('no such luck')", r"head (HEAD, "),
    ],
    ids=["base", "head"],
)
def test_a_revision_that_does_not_start_is_named_with_its_last_words(
    tmp_path: Path, first: str, second: str, said: str
) -> None:
    root = service_repository(tmp_path / "service", first)
    commit(root, {"server.py": second})
    code, _, errors = ended(root, "--base=HEAD~1")
    assert code == 2
    assert said in errors
    assert "no such luck" in errors
    assert len(worktrees(root)) == 1


def test_a_service_that_never_gets_healthy_is_given_up(tmp_path: Path) -> None:
    impatient = SERVICE.replace("[load]", "start_s = 0.5\n[load]", 1)
    deaf = "import time\ntime.sleep(60)"
    root = service_repository(tmp_path / "service", deaf, service=impatient)
    code, _, errors = ended(root, "--base=HEAD", "--exactly")
    assert code == 2
    assert "took more than 0.5 s until it was ready" in errors


def test_a_base_that_does_not_build_or_lacks_settings_is_told(tmp_path: Path) -> None:
    checked = SERVICE.replace("[load]", '[build]\ncommands = [["ls", "wanted"]]\n[load]')
    root = service_repository(tmp_path / "service", server(), service=checked)
    commit(root, {"wanted": "yes"})
    code, _, errors = ended(root, "--base=HEAD~1")
    assert code == 2
    assert "base (HEAD~1, " in errors
    assert "`ls wanted` ended with 2" in errors


def test_unknown_revisions_nothing_to_compare_and_uncommitted_changes_are_refused(
    tmp_path: Path,
) -> None:
    root = service_repository(tmp_path / "service", server())
    assert ended(root, "--base=nowhere")[0] == 2
    code, out, errors = ended(root, "--base=main")
    assert (code, out) == (2, "")
    assert "HEAD has no commit that main lacks, so there is nothing to compare" in errors
    (root / "server.py").write_text(server(work_us=900))
    code, _, errors = ended(root, "--base=HEAD")
    assert code == 2
    assert "the tree has changes that would not be measured (server.py)" in errors


def test_an_interrupted_gate_leaves_nothing(tmp_path: Path) -> None:
    root = service_repository(tmp_path / "service", server())
    with gate(root, "--base=HEAD", "--exactly") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("launch"):
                break
        arms = [Path(line.split()[0]) for line in worktrees(root)[1:]]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert len(worktrees(root)) == 1
    assert len(arms) == 3
    assert not [arm for arm in arms if arm.exists() or members(arm)]
