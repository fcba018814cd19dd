"""Made-up segments, of which a test says only what it is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from chaos.model.evidence import (
    ActEvidence,
    Answers,
    Evidence,
    Floats,
    Gateway,
    Generator,
    LookUps,
    Mode,
    Oddities,
    Requests,
    Samples,
    Segment,
)

NO_REDIRECTS = Gateway(np.array([], dtype=np.int64), np.array([], dtype=np.float64))


def floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)


def followed(intended_s: ArrayLike) -> Requests:
    """Redirects of the most popular link due at these times, all hits, each a visit."""
    due_s = floats(intended_s)
    count = len(due_s)
    return Requests(
        intended_s=due_s,
        sent_s=due_s + 0.001,
        done_s=due_s + 0.002,
        rank=np.zeros(count, dtype=np.int64),
        status=np.full(count, 302),
        version=np.ones(count, dtype=np.int64),
        age_ms=np.full(count, 5.0),
        outcome=np.full(count, "ok", dtype="U8"),
        served_from=np.full(count, "hit", dtype="U8"),
        operation=np.full(count, "follow", dtype="U8"),
        session=np.arange(count),
        attempt=np.ones(count, dtype=np.int64),
        last=np.full(count, True),
        timeline=np.full(count, -1),
    )


def looked_up(*times: ArrayLike) -> LookUps:
    """Look-ups of the most popular link: read, asked, answered and stored at these times."""
    read_s, asked_s, answered_s, stored_s = (floats(column) for column in times)
    rank, failed = np.zeros(len(read_s), dtype=np.int64), np.zeros(len(read_s), dtype=bool)
    db = np.full(len(read_s), "replica")
    return LookUps(rank, read_s, asked_s, answered_s, stored_s, failed, db)


def segment_of(started_s: float, ended_s: float, **fields: Any) -> Segment:
    """A segment in which nothing happened but what `fields` say."""
    blank: dict[str, Any] = {
        "number": 1,
        "shared_links": 20,
        "arm": "direct",
        "round": 0,
        "settings": {},
        "started_s": started_s,
        "ended_s": ended_s,
        "settled_s": ended_s,
        "web_processes": 2,
        "requests": followed([]),
        "look_ups": looked_up([], [], [], []),
        "samples": Samples({}, {}),
        "generator": Generator(0, 0, 0, 0, 0.1, 1.0),
        "counted": {},
        "acts": [],
        "ledgers": {},
        "in_force": [],
        "states": [],
        "made_ready": looked_up([], [], [], []),
        "gateway": NO_REDIRECTS,
    }
    return Segment(**(blank | fields))


def evidence_of(segments: Sequence[Segment], **fields: Any) -> Evidence:
    """Evidence of these segments, with no control and nothing odd but what `fields` say."""
    blank: dict[str, Any] = {
        "plan": {"arms": {}},
        "mode": Mode("quick", 1, 1.0),
        "segments": segments,
        "control": [],
        "oddities": Oddities(0, 0, 0, 0, 0, 0),
        "read_back": True,
        "trouble": None,
        "damage": [],
        "looks": [],
        "answers": Answers(),
    }
    return Evidence(**(blank | fields))


def acted(injected_s: float, healed_s: float | None, name: str = "redis killed") -> ActEvidence:
    """An act in force for this time."""
    return ActEvidence(
        name, "direct", 1, injected_s, healed_s, healed_s, None, None, None, True, True
    )
