"""Checks of accounts against each other: the databases', the web processes', nginx's, the lab's."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan, nan

import numpy as np

from chaos.judge.findings import guard
from chaos.model.evidence import Evidence, Finding, Segment
from chaos.model.experiment import Experiment
from chaos.model.stack import roles_asked
from chaos.model.traffic import WRITES

DATABASES = ("primary", "replica")
READ_BACK, SENT_AGAIN = "web.writes_read_back", "web.writes_sent_again"
SHARE_MIN = 0.9  # of an equal share; nginx takes turns, so that even one request apart is rare


def nothing_was_lost_by_the_lab(_: Experiment, evidence: Evidence) -> Finding:
    """The files hold every row that was written, unchanged: what else is missing, others lost."""
    text, ended = "the record holds all that was written", evidence.trouble is None
    return guard(text, evidence.damage, "it does", seen=ended)


def counters_agree(_: Experiment, evidence: Evidence) -> Finding:
    """Each database and the app count as many look-ups as the app logged.

    A database counts what it answered to the app's user, whatever the app calls it; it may have
    counted those that failed for the app, too. The count of a part that began anew is not known.
    """
    apart = [f"{s.arm}: {why}" for s in evidence.segments for why in _apart(s)]
    total = sum(len(segment.look_ups) for segment in evidence.segments)
    return guard(
        "Postgres and the app count the same look-ups",
        apart,
        f"{total} in Postgres, in the app and in its log",
        seen=len(evidence.segments),
    )


def _apart(segment: Segment) -> Iterator[str]:
    app, logged = segment.count("web.look_ups"), len(segment.look_ups)
    if not (isnan(app) or app == logged):
        yield f"app {app:g}, log {logged}"
    if elsewhere := int((~np.isin(segment.look_ups.db, DATABASES)).sum()):
        yield f"{elsewhere} logged for no database"
    for name in roles_asked(segment.settings):
        counted, own = segment.count(f"{name}.look_ups"), segment.look_ups.db == name
        most, failed = int(own.sum()), int((own & segment.look_ups.failed).sum())
        if not (isnan(counted) or most - failed <= counted <= most):
            yield f"{name} {counted:g}, log {most}"


def redis_counted(_: Experiment, evidence: Evidence) -> Finding:
    """Redis counted at least one command for each look-up that the app stored there.

    The count of a Redis that began anew is not known.
    """
    counts = {s.number: s.counted.get("redis.commands", nan) for s in evidence.segments}
    stored = {s.number: int(np.isfinite(s.look_ups.stored_s).sum()) for s in evidence.segments}
    odd = [
        f"{s.arm}: {counts[s.number]:g} commands, {stored[s.number]} look-ups stored"
        for s in evidence.segments
        if counts[s.number] < stored[s.number]
    ]
    fine = f"{sum(stored[n] for n, count in counts.items() if not isnan(count))} stored"
    return guard("Redis counted what the app stored", odd, fine, seen=len(evidence.segments))


def statements_are_known(_: Experiment, evidence: Evidence) -> Finding:
    """The app's user sent no unknown statement, and no more of the others than requests need.

    Each change of a link is one statement, and what it refuses, or a look at statistics, one more.
    So is each write whose outcome was unknown to the app: it reads it back, or sends it again.
    """
    odd = [f"{s.arm}: {why}" for s in evidence.all_segments for why in _unasked(s)]
    counts = [s.count(f"primary.{kind}") for s in evidence.segments for kind in ("reads", "writes")]
    known = sum(count for count in counts if not isnan(count))
    text = "the databases met only statements that are known"
    read = sum(len(segment.in_force) for segment in evidence.all_segments)
    return guard(text, odd, f"{known:g} beside look-ups", seen=read)


def _unasked(segment: Segment) -> Iterator[str]:
    operation = segment.requests.operation
    changes = int(np.isin(operation, WRITES).sum())
    reads = int(np.isin(operation, ("stats", "edit", "delete")).sum())
    # Nothing where a web process died and took its count with it: the check is stricter then.
    read_back, sent_again = (
        0 if isnan(count := segment.count(name)) else int(count) for name in (READ_BACK, SENT_AGAIN)
    )
    for kind, most in (("reads", reads + read_back), ("writes", changes + sent_again)):
        counts = [segment.count(f"{role}.{kind}") for role in roles_asked(segment.settings)]
        if (count := sum(c for c in counts if not isnan(c))) > most:
            yield f"{count:g} {kind} of links by the API, where requests need {most}"
    if len(segment.in_force) == 2:
        before, after = (moment.strange for moment in segment.in_force)
        for text, calls in after.items():
            if calls > before.get(text, 0):
                yield f"{text} ({calls - before.get(text, 0):g} times)"


def web_processes_share(experiment: Experiment, evidence: Evidence) -> Finding:
    """nginx takes turns: each web process answered its share, where no act hits one, or nginx."""
    odd, fewest = [], 1.0
    for segment in evidence.all_segments:
        answered = [v for n, v in segment.counted.items() if _is_web_count(n)]
        if len(answered) != segment.web_processes:
            odd.append(f"{segment.arm}: {len(answered)} web processes counted")
        elif not _hits_web(experiment, segment) and not any(map(isnan, answered)):
            equal = sum(answered) / len(answered)
            if min(answered) < SHARE_MIN * equal - _unsure(segment) - 1:
                odd.append(f"{segment.arm}: {min(answered):g} of {sum(answered):g} by one")
            fewest = min(fewest, min(answered) / sum(answered) if sum(answered) else 1.0)
    text = "each web process answered its share"
    return guard(text, odd, f"at least {fewest:.0%}", seen=len(evidence.all_segments))


def _is_web_count(name: str) -> bool:
    return name.startswith("web-") and name.endswith(".requests")


def _hits_web(experiment: Experiment, segment: Segment) -> bool:
    hits = [part for at in experiment.timeline_in(segment) for part in at.act.hits]
    return any(part == "nginx" or part.startswith("web-") for part in hits)


def _unsure(segment: Segment) -> int:
    """Requests that took a turn, and that no web process may have counted."""
    requests = segment.requests
    return int(((requests.outcome == "unknown") | (requests.status >= 500)).sum())
