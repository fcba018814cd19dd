"""Comparison of two runs of one experiment: what changed, and what else was different."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from chaos.judge.results import finite
from chaos.model.evidence import FACTS

Json = Mapping[str, Any]
Facts = Mapping[str, str]
EXACT = "exact"
CENSORED = "at_least"


class NotComparable(Exception):
    """The two runs answer different questions."""


class ProvesNothing(Exception):
    """One of the runs is INVALID."""


@dataclass(frozen=True)
class ComparedRun:
    """A run by its name, with its result and its plan as they are in its files."""

    name: str
    result: Json
    plan: Json


@dataclass(frozen=True)
class Change:
    """One measure of one arm in both runs: head minus base, with its 95 % interval.

    `value` is NaN if a run has no figure, or one that is only known to be at least so much; `low`
    and `high` are NaN for facts of a run, such as totals and maxima.
    """

    arm: str
    title: str
    unit: str
    base: Json
    head: Json
    value: float
    low: float
    high: float

    @property
    def is_apart(self) -> bool | None:
        """True if the interval does not include 0, or an exact figure is another; `None`: unknown.

        Unknown are an extreme of either run, such as the slowest request, and what has no figure.
        """
        if {self.base["interval"], self.head["interval"]} == {EXACT}:
            return self.value != 0 if math.isfinite(self.value) else None
        if math.isnan(self.low):
            return None
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Difference:
    """Something besides the figures that is not the same in both runs."""

    what: str
    base: str
    head: str


@dataclass(frozen=True)
class Comparison:
    """All changes in the experiment's order, and all differences that may explain them."""

    base: ComparedRun
    head: ComparedRun
    changes: tuple[Change, ...]
    differences: tuple[Difference, ...]
    only_base: tuple[str, ...]  # arms
    only_head: tuple[str, ...]

    @property
    def tested(self) -> int:
        """Changes that have an interval: a twentieth of them looks like a change by chance."""
        return sum(math.isfinite(change.low) for change in self.changes)


def compare(base: ComparedRun, head: ComparedRun) -> Comparison:
    """Compare two judged runs.

    Raises:
        NotComparable: they are of different experiments, or share no arm.
        ProvesNothing: one of them is INVALID.
    """
    _check_experiments(base, head)
    arms = _arms(base), _arms(head)
    shared = [name for name in arms[0] if name in arms[1]]
    if not shared:
        raise NotComparable(f"{base.name} and {head.name} have no arm in common")
    changes = [
        _change(name, arms[0][name]["measures"][measure], arms[1][name]["measures"][measure])
        for name in shared
        for measure in arms[0][name]["measures"]
    ]
    return Comparison(
        base,
        head,
        tuple(changes),
        tuple(_differences(base, head, shared)),
        *(tuple(name for name in own if name not in shared) for own in arms),
    )


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as a JSON document, with `null` where there is no figure."""
    document = {
        "experiment": comparison.base.result["experiment"],
        **{
            side: {
                **{"run": run.name, "verdict": run.result["verdict"]},
                **{name: run.plan[name] for name in ("began", "commit", "seed")},
            }
            for side, run in (("base", comparison.base), ("head", comparison.head))
        },
        "changes": [
            {
                **{"arm": change.arm, "title": change.title, "unit": change.unit},
                **{"base": change.base, "head": change.head, "change": change.value},
                **{"low": change.low, "high": change.high, "is_apart": change.is_apart},
            }
            for change in comparison.changes
        ],
        "tested": comparison.tested,
        "differences": [asdict(difference) for difference in comparison.differences],
        "only_base": list(comparison.only_base),
        "only_head": list(comparison.only_head),
    }
    return {name: finite(value) for name, value in document.items()}


def _check_experiments(base: ComparedRun, head: ComparedRun) -> None:
    names = [run.result["experiment"] for run in (base, head)]
    if names[0] != names[1]:
        raise NotComparable(
            f"{base.name} is a run of {names[0]}, and {head.name} one of {names[1]}: "
            "only runs of one experiment can be compared"
        )
    if base.plan["began_s"] == head.plan["began_s"] and base.plan["began"] == head.plan["began"]:
        raise NotComparable(f"{head.name} is the same run as {base.name}, or a copy of it")
    for run in (base, head):
        if run.result["verdict"] == "INVALID":
            raise ProvesNothing(
                f"{run.name} is INVALID, and its figures prove nothing: {_first_reason(run)}; "
                f"`linkstorm judge {shlex.quote(run.name)}` says more"
            )


def _first_reason(run: ComparedRun) -> str:
    found = [*run.result["checks"], *run.result["claims"]]
    odd = (finding for finding in found if finding["verdict"] == "INVALID")
    return next((f"not so: {finding['text']}" for finding in odd), "it has no figures")


def _arms(run: ComparedRun) -> dict[str, Json]:
    return {arm["name"]: arm for arm in run.result["arms"]}


def _change(arm: str, base: Json, head: Json) -> Change:
    value = low = high = math.nan
    if not any(m["value"] is None or m[CENSORED] for m in (base, head)):
        value = head["value"] - base["value"]
        if not {base["interval"], head["interval"]} & {*FACTS}:
            low, high = difference_interval(*_estimate(base), *_estimate(head))
    return Change(arm, base["title"], base["unit"], base, head, value, low, high)


def _estimate(measure: Json) -> tuple[float, float, float]:
    ends = (measure["low"], -math.inf), (measure["high"], math.inf)
    low, high = (unknown if end is None else end for end, unknown in ends)
    return measure["value"], low, high


def difference_interval(
    base: float, base_low: float, base_high: float, head: float, head_low: float, head_high: float
) -> tuple[float, float]:
    """The 95 % interval of head minus base, from an independent 95 % interval of each.

    Source: the method of variance estimates recovery, G. Zou and A. Donner, Statistics in Medicine
    27 (2008), 1693-1702. It needs no equal spreads, and keeps what is skewed in the intervals.
    """
    change = head - base
    return (
        change - math.hypot(head - head_low, base_high - base),
        change + math.hypot(head_high - head, base - base_low),
    )


def _differences(base: ComparedRun, head: ComparedRun, arms: Sequence[str]) -> Iterator[Difference]:
    for what, was, now in _unequal(_facts(base), _facts(head)):
        yield Difference(what, was, now)
    among: dict[tuple[str, str, str], list[str]] = {}
    for arm in arms:
        for unequal in _unequal(_arm_facts(base, arm), _arm_facts(head, arm)):
            among.setdefault(unequal, []).append(arm)
    for (what, was, now), where in among.items():
        told = "every arm" if len(where) == len(arms) > 1 else ", ".join(where)
        yield Difference(f"{told}: {what}", was, now)


def _unequal(base: Facts, head: Facts) -> Iterator[tuple[str, str, str]]:
    for what in dict.fromkeys([*base, *head]):
        was, now = base.get(what, "–"), head.get(what, "–")
        if was != now:
            yield what, was, now


def _facts(run: ComparedRun) -> Facts:
    """Length of a run, its machine and its versions."""
    plan = run.plan
    facts = {"runtime": plan["runtime"], "seed": plan["seed"]}
    facts |= {f"mode {name}": value for name, value in plan["mode"].items()}
    facts |= {name: plan[name] for name in ("command", "linkstorm", "commit")}
    facts |= {f"machine {name}": value for name, value in plan["machine"].items()}
    return {what: str(value) for what, value in facts.items()}


def _arm_facts(run: ComparedRun, arm: str) -> Facts:
    """The plan of an arm: settings, timeline and traffic."""
    planned = run.plan["arms"][arm]
    facts = {**planned["settings"], "timeline": planned["timeline"]}
    facts |= {f"traffic {name}": value for name, value in planned["traffic"].items()}
    return {what: str(value) for what, value in facts.items()}
