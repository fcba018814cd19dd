"""The order of a worker's steps, by setting, and the pause at one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from stack.shortener.clicks.buffer import FIELD, pack
from stack.shortener.clicks.store import Click, ClickStore, UnstorableClicks
from stack.shortener.clicks.stream_reader import Delivery, StreamReader
from stack.shortener.clicks.worker import Worker
from stack.shortener.infra.database import DatabaseUnavailable
from stack.shortener.settings import WorkerSettings

ADDRESSES = {"primary_url": "postgresql://any", "queue_url": "redis://any"}
CLICK = ("id", "code", 1_900_000_000_000, "", False, 0)


@dataclass
class Fakes:
    """A stream with one entry, and a click store; both record what is done."""

    error: Exception | None = None
    done: list[str] = field(default_factory=list)
    _given: bool = False

    async def create_group(self) -> None: ...

    async def pending(self) -> list[Delivery]:
        return []

    async def claim(self, _idle_s: float) -> list[Delivery]:
        return []

    async def new(self, _block_s: float) -> list[Delivery]:
        if self._given:
            await asyncio.sleep(60)
        self._given = True
        self.done.append("read")
        return [Delivery(b"1-0", {FIELD: pack([CLICK]).encode()})]

    async def acknowledge(self, _deliveries: list[Delivery]) -> None:
        self.done.append("acknowledge")

    async def dead_letter(self, _delivery: Delivery, _reason: str) -> None:
        self.done.append("dead-letter")

    async def add(self, clicks: Sequence[Click]) -> int:
        if self.error:
            raise self.error
        self.done.append("store")
        return len(clicks)


def done(fakes: Fakes, **settings: Any) -> list[str]:
    """Run a worker for a moment; return what it has done."""

    async def main() -> None:
        chosen = WorkerSettings(**{**ADDRESSES, **settings})
        worker = Worker(cast(StreamReader, fakes), cast(ClickStore, fakes), chosen)
        working = asyncio.create_task(worker.run())
        await asyncio.sleep(0.05)
        working.cancel()
        await asyncio.wait([working])

    asyncio.run(main())
    return fakes.done


AFTER, BEFORE = "after-commit", "before-commit"


@pytest.mark.parametrize(
    ("acknowledge", "steps"),
    [(AFTER, ["read", "store", "acknowledge"]), (BEFORE, ["read", "acknowledge", "store"])],
)
def test_a_batch_is_acknowledged_after_the_commit_or_naively_before(
    acknowledge: str, steps: list[str]
) -> None:
    assert done(Fakes(), worker_acknowledge=acknowledge) == steps
    if acknowledge == AFTER:
        assert done(Fakes()) == steps


def test_what_was_not_stored_is_acknowledged_only_naively() -> None:
    down = DatabaseUnavailable("down")
    assert "acknowledge" not in done(Fakes(down))
    assert "acknowledge" in done(Fakes(down), worker_acknowledge=BEFORE)


@pytest.mark.parametrize("acknowledge", [AFTER, BEFORE])
def test_what_cannot_be_stored_is_dead_lettered_either_way(acknowledge: str) -> None:
    fakes = Fakes(UnstorableClicks("no"))
    assert done(fakes, worker_acknowledge=acknowledge)[-1] == "dead-letter"


@pytest.mark.parametrize(
    ("acknowledge", "step", "steps"),
    [
        (AFTER, "after-read", ["read"]),
        (AFTER, "after-store", ["read", "store"]),
        (AFTER, "after-acknowledge", ["read", "store", "acknowledge"]),
        (BEFORE, "after-read", ["read"]),
        (BEFORE, "after-acknowledge", ["read", "acknowledge"]),
        (BEFORE, "after-store", ["read", "acknowledge", "store"]),
    ],
)
def test_a_worker_pauses_at_the_step_that_is_named(
    acknowledge: str, step: str, steps: list[str]
) -> None:
    settings = {"worker_acknowledge": acknowledge, "worker_step": step}
    assert done(Fakes(), **settings, worker_step_pause_s=60) == steps
