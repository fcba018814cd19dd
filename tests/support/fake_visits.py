"""Visits of several steps, made up: links that are created, followed, edited and deleted.

While the cache is down, the settings say what a redirect does: `FALLBACK=none` fails, and clients
try again; `CLICKS=careless` loses the clicks that were answered shortly before.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from chaos.model.traffic import Retries, Traffic, Visit

TOOK_S = 0.002
LEAVES_S = 0.0005  # after it was due, at the latest
UNSENT_S = 0.1  # clicks younger than this are lost with what holds them
Arrival = tuple[float, int]  # when it is due, and the rank it asks for
STATUS = {"follow": 302, "create": 201, "edit": 200, "delete": 204, "stats": 200}


@dataclass(frozen=True)
class Held:
    """A link as the primary holds it."""

    version: int
    target: str
    deleted: bool = False


@dataclass(frozen=True)
class Outage:
    """A part that does not answer."""

    part: str
    from_s: float
    to_s: float = math.inf

    def holds(self, t_s: float) -> bool:
        return self.from_s <= t_s < self.to_s


@dataclass(frozen=True)
class Answer:
    """One request with its answer."""

    intended_s: float
    done_s: float
    served_from: str
    age_ms: float
    rank: int = 0
    operation: str = "follow"
    outcome: str = "ok"
    status: int = 302
    attempt: int = 1
    last: bool = True
    op: str = ""
    visit: str = ""
    begins: bool = True
    click_lost: bool = False

    def applied(self, held: Held | None) -> Held | None:
        """The link after this request."""
        if self.outcome != "ok":
            return held
        if self.operation == "create":
            return Held(1, f"https://example.org/{self.op}")
        if held is None or self.operation not in ("edit", "delete"):
            return held
        if self.operation == "delete":
            return replace(held, version=held.version + 1, deleted=True)
        return Held(held.version + 1, f"https://example.org/{self.op}")


def visits(
    begun: Iterable[tuple[Arrival, Visit]],
    traffic: Traffic,
    ends_s: float,
    down: Sequence[Outage],
    settings: Mapping[str, str],
) -> list[Answer]:
    """All requests, due by `ends_s`, of visits, each with its arrival."""
    answers: list[Answer] = []
    for number, ((t_s, drawn), visit) in enumerate(begun):
        rank = traffic.keys + number if visit.own_link else drawn
        blank = Answer(t_s, t_s, "", math.nan, rank, visit=f"v{number}")
        answers += _until(ends_s, _steps(visit, blank, traffic.retries, down, settings))
    return answers


def _until(ends_s: float, answers: Iterable[Answer]) -> Iterator[Answer]:
    """The answers to what was due by the end of the segment, as the generator sends no more."""
    kept = [*takewhile(lambda answer: answer.intended_s <= ends_s, answers)]
    yield from kept[:-1]
    yield from (replace(answer, last=True) for answer in kept[-1:])


def _steps(
    visit: Visit,
    blank: Answer,
    retries: Retries,
    down: Sequence[Outage],
    settings: Mapping[str, str],
) -> Iterator[Answer]:
    t_s = blank.intended_s
    for place, step in enumerate(visit.steps):
        op = replace(blank, operation=step.operation, op=f"{blank.visit}-{place}")
        for attempt in range(1, retries.tries + 1):
            t_s += step.after_s if attempt == 1 else retries.pause_s
            answer = _answered(replace(op, intended_s=t_s, attempt=attempt), down, settings)
            last = answer.outcome == "ok" or attempt == retries.tries
            yield replace(answer, last=last, begins=place == 0 and attempt == 1)
            t_s = answer.done_s
            if last:
                break
        if answer.outcome != "ok":
            return


def _answered(asked: Answer, down: Sequence[Outage], settings: Mapping[str, str]) -> Answer:
    done_s = asked.intended_s + TOOK_S
    if asked.operation != "follow":
        return replace(asked, done_s=done_s, status=STATUS[asked.operation])
    is_down = any(outage.holds(asked.intended_s + LEAVES_S) for outage in down)
    if is_down and settings["FALLBACK"] == "none":
        return replace(asked, done_s=done_s, outcome="fail", status=503)
    soon = any(0 <= outage.from_s - done_s < UNSENT_S for outage in down)
    lost = soon and settings["CLICKS"] == "careless"
    where = "near" if is_down else "hit"
    return replace(asked, done_s=done_s, served_from=where, age_ms=5.0, click_lost=lost)
