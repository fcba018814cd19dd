"""Arms run on their own core, are stopped together, and begin as they were seeded."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from chaos.perf.arm_bed import ArmBed, Comparison, arm_bed
from chaos.perf.cores import choose
from chaos.perf.launches import ARMS
from chaos.perf.revisions import revision
from chaos.perf.service_file import read_service
from chaos.runtimes.part_clients import http_status
from tests.support.gated_service import SERVICE, server, service_repository
from tests.support.repositories import commit

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="it needs two cores"),
]

SLOWLY = """
import os
import signal


def end(*_):
    print("asked", time.monotonic(), flush=True)
    time.sleep(1)
    print("ended", time.monotonic(), flush=True)
    os._exit(0)


signal.signal(signal.SIGTERM, end)
"""
SEED = """
import sys
from pathlib import Path

import psycopg

with Path("seeded").open("a") as lines:
    lines.write("once\\n")
with psycopg.connect(sys.argv[1]) as connection:
    connection.execute("CREATE TABLE items AS SELECT generate_series(1, 9) AS number")
"""
SEEDED = SERVICE.replace(
    "[load]",
    'seed = ["{python}", "{here}/seed.py", "{postgres_url}"]\nseed_once = true\n'
    "[databases]\npostgres = true\n[load]",
)


@contextmanager
def bed_of(tmp_path: Path, program: str, service: str = SERVICE) -> Iterator[ArmBed]:
    """The bed of a repository with this program."""
    root = service_repository(tmp_path / "service", program, service=service)
    commit(root, {"seed.py": SEED})
    head = revision(root, "HEAD")
    of = Comparison(read_service(root / "perf.toml"), root, root, head, head)
    with arm_bed(of, choose(), tmp_path / "logs") as bed:
        yield bed


def test_arms_have_their_core_and_whoever_asks_if_they_are_healthy_has_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_on: list[set[int]] = []

    def status(address: tuple[str, int], path: str) -> int | None:
        asked_on.append(os.sched_getaffinity(0))
        return http_status(address, path)

    monkeypatch.setattr("chaos.perf.arm_bed.http_status", status)
    with bed_of(tmp_path, server()) as bed, bed.running(ARMS, random.Random(1)) as arms:
        assert sorted(arm.name for arm in arms) == sorted(ARMS)
        assert all(set(arm.process.cpu_affinity()) == bed.cores.served for arm in arms)
        assert asked_on
        assert all(cores == bed.cores.others for cores in asked_on)


def test_arms_that_end_slowly_are_not_waited_for_one_after_the_other(tmp_path: Path) -> None:
    slowly = server().replace("\n\nclass Server", f"{SLOWLY}\n\nclass Server", 1)
    with bed_of(tmp_path, slowly) as bed:
        with bed.running(ARMS, random.Random(1)) as arms:
            processes = [arm.process for arm in arms]
        assert not [process for process in processes if process.is_running()]
        words = [(bed.logs / f"{arm}.log").read_text().split() for arm in ARMS]
        asked_s, ended_s = ([float(told[at]) for told in words] for at in (1, 3))
        assert max(asked_s) < min(ended_s)


def test_arms_are_seeded_once_and_every_launch_begins_with_that(tmp_path: Path) -> None:
    with bed_of(tmp_path, server(), SEEDED) as bed:
        seeded = bed.seeded_once(random.Random(1))
        for _ in range(2):
            with seeded.running(ARMS, random.Random(2)):
                for arm in ARMS:
                    with psycopg.connect(seeded.values[arm]["postgres_url"]) as connection:
                        rows = connection.execute("DELETE FROM items RETURNING number").fetchall()
                        assert len(rows) == 9
        assert (tmp_path / "service" / "seeded").read_text() == "once\n" * len(ARMS)


def test_without_being_told_to_arms_are_seeded_for_each_launch(tmp_path: Path) -> None:
    with bed_of(tmp_path, server(), SEEDED.replace("seed_once = true", "")) as bed:
        again = bed.seeded_once(random.Random(1))
        assert again == replace(bed)
        for launch in range(2):
            with again.running(ARMS, random.Random(2)):
                told = (tmp_path / "service" / "seeded").read_text()
                assert told == "once\n" * len(ARMS) * (launch + 1)
