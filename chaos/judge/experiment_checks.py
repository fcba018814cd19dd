"""Checks of an experiment before anything starts: what it names exists, and it can be judged."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import get_args

from chaos.model import series
from chaos.model.evidence import ArmResult, Estimate, Mode, Predicted, Verdict
from chaos.model.experiment import Arm, Claim, Experiment, Timeline
from chaos.model.stack import (
    ABILITIES,
    SERVER_COUNT,
    THIRD,
    PartName,
    Role,
    Settings,
    servers_asked,
)
from chaos.model.traffic import Operation, Traffic

SYNCHRONOUS = "postgres:synchronous_standby_names"
NAME = re.compile(r"[\w-]+")
UNKNOWN = Estimate(math.nan, math.nan, math.nan, 0, "mean95")


def problems(experiment: Experiment, modes: Sequence[Mode] = ()) -> list[str]:
    """Everything that is wrong with an experiment, in words; run in its own modes if none is given.

    Settings are left to the stack, which alone knows them.
    """
    return [
        *_of_names(experiment),
        *_of_arms(experiment),
        *_of_measures(experiment),
        *_of_claims(experiment),
        *_of_timelines(experiment, modes or (experiment.quick, experiment.full)),
    ]


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the names that exist: the similar ones, or all."""
    names = sorted(known)
    alike = get_close_matches(name, names)
    return f"did you mean {' or '.join(alike)}?" if alike else f"there are: {', '.join(names)}"


def _twice(what: str, names: Iterable[str]) -> Iterator[str]:
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{count} {what} are called {name!r}"


def _of_names(experiment: Experiment) -> Iterator[str]:
    if not experiment.lesson or not experiment.question:
        yield "the lesson is empty: it is the module's docstring and begins with a question"
    yield from _twice("arms", (arm.name for arm in experiment.arms))
    yield from _twice("measures", (measure.name for measure in experiment.measures))
    yield from _twice("inputs", (figure.name for figure in experiment.inputs))


def _of_arms(experiment: Experiment) -> Iterator[str]:
    if not any(arm.naive for arm in experiment.arms):
        yield "an arm must be naive: the others are compared with the first one that is"
    if len(experiment.arms) < 2:
        yield "an experiment needs a naive arm and at least one fix"
    for arm in experiment.arms:
        if arm.naive and arm.full_only:
            yield f"arm {arm.name}: a naive arm is in both modes: the others are compared with it"
    common = experiment.settings
    yield from _by_arm(experiment, lambda arm: _of_settings({**common, **arm.settings}))
    yield from _by_arm(
        experiment,
        lambda arm: _of_servers({**common, **arm.settings}, experiment.timeline_of(arm)),
    )
    yield from _by_arm(experiment, lambda arm: _of_traffic(experiment.traffic_of(arm)))


def _by_arm(experiment: Experiment, of: Callable[[Arm], Iterable[str]]) -> Iterator[str]:
    """Problems of arms, each once with the arms that have it."""
    having: dict[str, list[str]] = {}
    for arm in experiment.arms:
        for problem in of(arm):
            having.setdefault(problem, []).append(arm.name)
    for problem, names in having.items():
        every = len(names) == len(experiment.arms) > 1
        yield f"{'every arm' if every else 'arm ' + ', '.join(names)}: {problem}"


def _of_settings(settings: Mapping[str, object]) -> Iterator[str]:
    for name, value in settings.items():
        if not isinstance(value, str):
            yield f"a setting is text: {name!r}: '{value}', not {value!r}"


def _of_servers(settings: Settings, timeline: Timeline) -> Iterator[str]:
    """Problems of the number of servers: a third one is needed where it is named."""
    try:
        servers = servers_asked(settings)
    except ValueError as wrong:
        yield str(wrong)
        return
    named = {
        **{at.act.name: {*at.act.puts} for at in timeline},
        SYNCHRONOUS: {*NAME.findall(str(settings.get(SYNCHRONOUS, "")))},
    }
    for what, names in named.items():
        if servers < 3 and names & {"standby", THIRD}:
            yield f"{what} names a third server: {SERVER_COUNT}=3 asks for one"


def _of_traffic(traffic: Traffic) -> Iterator[str]:
    if not traffic.rate_per_s > 0 or not traffic.timeout_s > 0:
        yield "rate_per_s and timeout_s must be above 0"
    if traffic.keys < 1 or not 0 <= traffic.hot_share <= 1:
        yield "keys must be at least 1, and hot_share from 0 to 1"
    if traffic.curve != "steady" and (traffic.peak_per_s or 0) < traffic.rate_per_s:
        yield f"the curve {traffic.curve} needs a peak_per_s of at least rate_per_s"
    if traffic.retries.tries < 1:
        yield "retries.tries counts the first try: at least 1"
    for visit in traffic.visits:
        operations = [step.operation for step in visit.steps]
        for operation in operations:
            if operation not in get_args(Operation):
                yield f"visit {visit.name!r}: no operation {operation!r}; " + nearest(
                    operation, get_args(Operation)
                )
        if visit.own_link != (operations[:1] == ["create"]):
            yield f"visit {visit.name!r}: the first step creates its link, if it has its own"
        if not visit.weight > 0:
            yield f"visit {visit.name!r}: its weight must be above 0"


def _of_measures(experiment: Experiment) -> Iterator[str]:
    known = [measure.name for measure in experiment.measures]
    if not known:
        yield "it has no measure; the first one answers the question"
    read = {m.name: m.series for m in experiment.measures if m.series}
    drawn = {f"strip {s.title!r}": s.value for s in experiment.strips if s.source == "samples"}
    for reader, name in {**read, **drawn}.items():
        if not series.exists(name):
            yield f"{reader}: nothing samples {name!r}; {nearest(name, series.names())}"
    for cost in experiment.costs:
        if cost.name not in known:
            yield f"the cost {cost.name} is none of the measures; {nearest(cost.name, known)}"
    for arm in experiment.arms:
        for name in arm.predictions:
            if name not in known:
                yield f"arm {arm.name}: a prediction of no measure {name!r}; {nearest(name, known)}"


def _of_claims(experiment: Experiment) -> Iterator[str]:
    arms, measures = [a.name for a in experiment.arms], [m.name for m in experiment.measures]
    claimed: set[str] = set()
    for claim in experiment.claims:
        claimed |= {*claim.arms_of(arms)}
        for name in (*claim.arms, *claim.but):
            if name not in arms:
                yield f"a claim is about no arm {name!r}; {nearest(name, arms)}: {claim.text}"
        for measure in claim.measures:
            if measure.name not in measures:
                yield f"a claim is by {measure.name}, none of the measures: {claim.text}"
        if problem := _crash(claim, experiment):
            yield problem
    for name in arms:
        if name not in claimed:
            yield f"arm {name} has no claim: nothing would be judged of it"
    yield from _of_failures(experiment)


def _of_failures(experiment: Experiment) -> Iterator[str]:
    """A naive arm must show its failure, and no other can."""
    arms = [arm.name for arm in experiment.arms]
    naive = [arm.name for arm in experiment.arms if arm.naive]
    shown = {name for claim in experiment.claims if claim.is_failure for name in claim.arms}
    for name in sorted(shown.intersection(arms).difference(naive)):
        yield f"arm {name} is not naive: it has no failure to show"
    if naive and not shown.intersection(naive):
        yield f"no claim shows that the naive arm fails: shows({naive[0]!r}, …)"


def _crash(claim: Claim, experiment: Experiment) -> str | None:
    """Why a claim cannot be judged, found by judging it of arms without data."""
    rows = {arm.name: _without_data(arm, experiment) for arm in experiment.arms}
    if not {*claim.arms} <= {*rows}:
        return None
    try:
        claim.check(rows)
    except KeyError as missing:
        known = [measure.name for measure in experiment.measures]
        if missing.args[0] in known:
            return f"a claim needs a prediction of {missing.args[0]}: {claim.text}"
        return None  # no such measure: said already
    except Exception as error:
        return f"a claim crashes ({error!r}): {claim.text}"
    return None


def _without_data(arm: Arm, experiment: Experiment) -> ArmResult:
    return ArmResult(
        name=arm.name,
        naive=arm.naive,
        verdict=Verdict.INVALID,
        measures={measure.name: UNKNOWN for measure in experiment.measures},
        predictions={
            name: Predicted(math.nan, p.formula, p.source, p.bound)
            for name, p in arm.predictions.items()
        },
        inputs={},
    )


def _of_timelines(experiment: Experiment, modes: Sequence[Mode]) -> Iterator[str]:
    for mode in modes:
        if mode.rounds < 1 or not mode.segment_s > 0 or mode.events < 0:
            yield f"mode {mode.name}: rounds, segment_s and events must be above 0"
        if mode.rounds_max < mode.rounds:
            yield f"mode {mode.name}: rounds_max must be at least rounds"
    yield from _by_arm(
        experiment,
        lambda arm: _of_acts(
            experiment.timeline_of(arm), min(experiment.lasts_s(m, arm.name, 0) for m in modes)
        ),
    )
    yield from _by_arm(experiment, lambda arm: _of_names_twice(experiment.timeline_of(arm)))


def _of_acts(timeline: Timeline, segment_s: float) -> Iterator[str]:
    for at in timeline:
        name = at.act.name
        if at.act.needs not in ABILITIES:
            hint = nearest(at.act.needs, ABILITIES)
            yield f"{name} needs {at.act.needs!r}, which no stack can; {hint}"
        for part in at.act.hits:
            known = (*get_args(PartName), *get_args(Role))
            if part not in known:
                yield f"{name}: no part {part!r}; {nearest(part, known)}"
        if not 0 <= at.second < segment_s:
            yield f"{name} begins at {at.second:g} s, outside its segment of {segment_s:g} s"
        if at.until_s is None:
            continue
        if not at.second < at.until_s <= segment_s:
            yield f"{name} ends at {at.until_s:g} s: before its start or after its segment"
        elif at.until_s - max(at.second, 0) < at.act.probe_s:
            yield f"{name} must last {at.act.probe_s:.1f} s: its probe takes that long"


def _of_names_twice(timeline: Timeline) -> Iterator[str]:
    ordered = sorted(timeline, key=lambda at: at.second)
    for place, at in enumerate(ordered):
        for later in ordered[place + 1 :]:
            until_s = math.inf if at.until_s is None else at.until_s
            if later.act.name == at.act.name and later.second < until_s:
                yield f"{at.act.name} begins again while it is in force"
