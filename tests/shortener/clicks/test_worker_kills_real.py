"""A worker killed at each step of its work: what its settings lose or count twice."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import psycopg
import pytest
import redis

from chaos.model.stack import Stack
from tests.support.shortener_process import eventually, process

pytestmark = pytest.mark.real

CLICKS = 5


class Stored(NamedTuple):
    """Rows of a code's clicks, and their number in the totals."""

    rows: int
    total: int


def stored(stack: Stack, code: str) -> Stored:
    counted = """SELECT (SELECT count(*) FROM clicks WHERE code = %(code)s),
      coalesce((SELECT total FROM link_clicks WHERE code = %(code)s), 0)"""
    with psycopg.connect(stack.endpoints.primary) as database:
        row = database.execute(counted, {"code": code}).fetchone()
    assert row is not None
    return Stored(*row)


def killed_and_restarted(stack: Stack, step: str, **settings: str) -> Stored:
    """Kill a worker that holds a batch at a step, then let one of its name do the rest."""
    name, code = f"killed-{secrets.token_hex(4)}", secrets.token_hex(8)
    environment = {
        "SHORTENER_NAME": name,
        "SHORTENER_PRIMARY_URL": stack.endpoints.links["worker-primary"],
        "SHORTENER_QUEUE_URL": stack.endpoints.links["queue"],
        **{f"SHORTENER_{key}": value for key, value in settings.items()},
    }
    holding = {"SHORTENER_WORKER_STEP": step, "SHORTENER_WORKER_STEP_PAUSE_S": "3600"}
    with redis.Redis.from_url(stack.endpoints.redis) as queue:
        now_ms = time.time_ns() // 1_000_000
        batch = [[secrets.token_hex(16), code, now_ms, "", False, 0] for _ in range(CLICKS)]
        with process("worker", {**environment, **holding}) as worker:
            queue.xadd("clicks", {"clicks": json.dumps(batch)})
            eventually(lambda: is_at(stack, queue, step, name, code), within_s=30)
            worker.popen.kill()
            worker.popen.wait(timeout=10)
        with process("worker", environment):
            eventually(lambda: not queue.xlen("clicks"), within_s=30)
            time.sleep(0.3)
    return stored(stack, code)


def is_at(stack: Stack, queue: redis.Redis, step: str, name: str, code: str) -> bool:
    reached: dict[str, Callable[[], bool]] = {
        "after-read": lambda: bool(
            list(queue.xpending_range("clicks", "workers", "-", "+", 1, consumername=name))
        ),
        "after-store": lambda: stored(stack, code).rows == CLICKS,
        "after-acknowledge": lambda: not queue.xlen("clicks"),
    }
    return reached[step]()


@pytest.fixture(autouse=True, scope="module")
def worker_of_its_own(stack: Stack) -> Iterator[None]:
    """Keep the stack's own worker from the stream."""
    stack.kill("worker")
    yield
    stack.start("worker")


@pytest.mark.parametrize("step", ["after-read", "after-store", "after-acknowledge"])
def test_by_default_no_kill_loses_or_doubles_a_click(stack: Stack, step: str) -> None:
    assert killed_and_restarted(stack, step) == Stored(CLICKS, CLICKS)


def test_who_acknowledges_before_the_commit_loses_the_batch(stack: Stack) -> None:
    lost = killed_and_restarted(stack, "after-acknowledge", WORKER_ACKNOWLEDGE="before-commit")
    assert lost == Stored(0, 0)


@pytest.mark.parametrize(("step", "times"), [("after-read", 1), ("after-store", 2)])
def test_without_dedupe_what_is_delivered_again_counts_again(
    stack: Stack, step: str, times: int
) -> None:
    doubled = killed_and_restarted(stack, step, CLICK_DEDUPE="false")
    assert doubled == Stored(CLICKS, times * CLICKS)
