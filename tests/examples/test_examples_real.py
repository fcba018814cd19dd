"""The examples are gated as their files say, and what is planted in them is found."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.support.gated_service import ended
from tests.support.repositories import commit, new_repository

EXAMPLES = Path(__file__).parents[2] / "examples"
SHORT = "[load]\nwarm_up_s = 0.5\nlaunch_s = 2\n\n[[requests]]"

pytestmark = [
    pytest.mark.real,
    pytest.mark.alone,
    pytest.mark.timeout(600),
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="it needs two cores"),
]
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")


def example(name: str, root: Path) -> Path:
    """A repository of an example alone, with short launches."""
    files = {
        path.name: path.read_text(encoding="utf-8")
        for path in (EXAMPLES / name).iterdir()
        if path.is_file()
    }
    files["perf.toml"] = files["perf.toml"].replace("[[requests]]", SHORT, 1)
    commit(new_repository(root), files)
    return root


def planted(root: Path, file: str, before: str, after: str) -> None:
    text = (root / file).read_text(encoding="utf-8")
    assert before in text
    commit(root, {file: text.replace(before, after)})


def test_more_work_in_fastapi_is_found_by_its_cpu(tmp_path: Path) -> None:
    root = example("fastapi_service", tmp_path / "shop")
    planted(root, "app.py", "range(1, 20)", "range(1, 6000)")
    code, out, errors = ended(root, "--base=HEAD~1")
    document = json.loads(out)
    cpu = next(metric for metric in document["metrics"] if metric["figure"] == "cpu")
    assert (cpu["verdict"], code) == ("FAIL", 3 if document["void_by"] else 1), errors
    assert document["wrong"] == {"base": 0, "head": 0, "again": 0, "decides": False}


@needs_node
def test_more_work_in_node_is_found_by_its_own_counter(tmp_path: Path) -> None:
    root = example("node_service", tmp_path / "shop")
    planted(root, "server.js", "asked += 1", "asked += 2")
    code, out, errors = ended(root, "--base=HEAD~1")
    document = json.loads(out)
    (counter,) = (one for one in document["counters"] if one["counter"] == "items_asked_total")
    assert (counter["base"], counter["head"], counter["verdict"]) == (1, 2, "FAIL"), errors
    assert code == (3 if document["void_by"] else 1)
