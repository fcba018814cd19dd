"""`make bench` from end to end, too short for meaningful figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.runtimes.embedded.ports import HOST, reserved
from chaos.runtimes.part_clients import http_status
from tests.support.shortener_process import eventually, nobody

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.real,
    pytest.mark.alone,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="it needs two cores"),
]


def test_it_measures_each_arm_and_keeps_the_figures(tmp_path: Path) -> None:
    arms = ["bare", "redis"]
    order = [*(f"--arm={arm}" for arm in arms), "--rounds=1", "--seconds=0.2", "--format=json"]
    run = subprocess.run(
        [sys.executable, "-m", "tools.bench", *order, f"--into={tmp_path}"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode in (0, 3), run.stderr  # 3: the machine was not quiet
    measured = json.loads(run.stdout)["arms"]
    assert list(measured) == arms
    for arm in measured.values():
        assert arm["rps"] > 20
        assert arm["ratio_to_bare"] > 0
        assert arm["missing_latencies"] or 0 < arm["p50_ms"] <= arm["p99_ms"]
        assert arm["cpu_us"] > 1
        assert arm["rss_mb"] > 10
        assert not [problem for problem in arm["problems"] if "times: HTTP" in problem]
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".md"}


@pytest.mark.parametrize(("app", "path", "status"), [("bare", "/x", 302), ("web", "/healthz", 200)])
def test_granian_serves_what_is_compared(app: str, path: str, status: int) -> None:
    with nobody(silent=False) as address:
        urls = {
            "SHORTENER_PRIMARY_URL": f"postgresql://somebody@{address}/any",
            "SHORTENER_REPLICA_URL": f"postgresql://somebody@{address}/any",
            "SHORTENER_CACHE_URL": f"redis://{address}/0",
            "SHORTENER_QUEUE_URL": f"redis://{address}/0",
        }
        with reserved(["web"]) as ports:
            command = [sys.executable, "-m", "tools.bench.hosted", app, "granian"]
            with subprocess.Popen(
                [*command, f"{HOST}:{ports['web']}"], cwd=ROOT, env={**os.environ, **urls},
                stdout=subprocess.DEVNULL,
            ) as process:  # fmt: skip
                try:
                    eventually(lambda: http_status((HOST, ports["web"]), path) == status)
                finally:
                    process.terminate()
                assert process.wait(10) == 0
