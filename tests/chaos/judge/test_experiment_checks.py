"""Experiments that are wrong: each error is found before anything starts, and named in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from chaos import experiments
from chaos.acts import Kill, Pause, Slow
from chaos.judge.claims import at_most, follows_law, none, shows
from chaos.judge.experiment_checks import SYNCHRONOUS, nearest, problems
from chaos.measures import failed, latency, lost, peak, per_second
from chaos.model.experiment import Act, At, Claim, Experiment, Strip
from chaos.model.traffic import FOLLOW, Retries, Step, Traffic, Visit

HERD = experiments.load("thundering-herd")
FAILED = next(measure for measure in HERD.measures if measure.name == "failed")
Change = Callable[[Experiment], Experiment]


def crashes(_: Any) -> Any:
    raise ZeroDivisionError


def timeline(*acts: At) -> Change:
    return lambda one: replace(one, timeline=acts)


def traffic(**fields: Any) -> Change:
    return lambda one: replace(one, traffic=replace(one.traffic, **fields))


def claims(*more: Claim) -> Change:
    return lambda one: replace(one, claims=[*one.claims, *more])


def without_naive(one: Experiment) -> Experiment:
    return replace(one, arms=[replace(arm, naive=False) for arm in one.arms])


def odd(needs: str = "kill", part: str = "redis") -> Act:
    """An act that needs or hits what there is not."""

    class Odd(Pause):
        pass

    act = Odd("redis")
    object.__setattr__(act, "needs", needs)
    object.__setattr__(act, "part", part)
    return act


WRONG: dict[str, tuple[Change, str]] = {
    "no lesson": (lambda e: replace(e, lesson=""), "lesson is empty"),
    "two arms of a name": (lambda e: replace(e, arms=[*e.arms, e.arms[1]]), "2 arms are called"),
    "two measures of a name": (
        lambda e: replace(e, measures=[*e.measures, e.measures[0]]), "2 measures are called",
    ),
    "two inputs of a name": (
        lambda e: replace(e, inputs=[*e.inputs, e.inputs[0]]), "2 inputs are called",
    ),
    "no naive arm": (without_naive, "an arm must be naive"),
    "a naive arm that quick runs leave out": (
        lambda e: replace(e, arms=[replace(e.arms[0], full_only=True), *e.arms[1:]]),
        "a naive arm is in both modes",
    ),
    "one arm": (lambda e: replace(e, arms=e.arms[:1]), "at least one fix"),
    "no rate": (traffic(rate_per_s=0.0), "rate_per_s"),
    "no link": (traffic(keys=0), "keys must be at least 1"),
    "a share above one": (traffic(hot_share=1.5), "hot_share from 0 to 1"),
    "a curve without a peak": (traffic(curve="ramp"), "needs a peak_per_s"),
    "no try": (traffic(retries=Retries(tries=0)), "at least 1"),
    "no such operation": (
        traffic(visits=(Visit("x", (Step(cast(Any, "folow")),)),)), "did you mean follow?",
    ),
    "a create of no own link": (traffic(visits=(Visit("x", (Step("create"),)),)), "first step"),
    "an own link that is not created": (traffic(visits=(replace(FOLLOW, own_link=True),)), "first"),
    "no weight": (traffic(visits=(replace(FOLLOW, weight=0.0),)), "weight must be above 0"),
    "no measure": (lambda e: replace(e, measures=[]), "it has no measure"),
    "a series that nothing samples": (
        lambda e: replace(e, measures=[*e.measures, peak("web.inflight", "most", "requests")]),
        "did you mean web.in_flight",
    ),
    "a strip of a series that nothing samples": (
        lambda e: replace(e, strips=[Strip("Lag", "s", "samples", "replica.replication_lag_s")]),
        "strip 'Lag': nothing samples 'replica.replication_lag_s'",
    ),
    "a setting that is a number": (
        lambda e: replace(e, settings={**e.settings, "CACHE_TTL_S": cast(Any, 0.8)}),
        "every arm: a setting is text: 'CACHE_TTL_S': '0.8', not 0.8",
    ),
    "four servers": (
        lambda e: replace(e, settings={**e.settings, "topology:servers": "4"}),
        "every arm: topology:servers is 2 or 3, not '4'",
    ),
    "an act on a standby that there is not": (
        timeline(At(1.0, Kill("standby"))), "standby killed names a third server",
    ),
    "an act on a server that there is not": (
        timeline(At(1.0, Kill("postgres-3"))), "postgres-3 killed names a third server",
    ),
    "a wait for a standby that there is not": (
        lambda e: replace(e, settings={SYNCHRONOUS: "ANY 1 (replica, standby)"}),
        "topology:servers=3 asks for one",
    ),
    "a failure that a fix must show": (
        claims(shows("lock", FAILED, at_least=1)), "arm lock is not naive",
    ),
    "no failure that must be shown": (
        lambda e: replace(e, claims=[c for c in e.claims if not c.is_failure]),
        "no claim shows that the naive arm fails: shows('direct', …)",
    ),
    "a cost that is not measured": (
        lambda e: replace(e, costs=[latency(75)]), "the cost latency_p75_ms is none",
    ),
    "a prediction of nothing": (
        lambda e: replace(e, measures=[m for m in e.measures if m is not e.headline]),
        "a prediction of no measure",
    ),
    "a claim about no arm": (claims(at_most("lokc", FAILED, 0)), "did you mean lock"),
    "an exception that is no arm": (claims(none(FAILED, but="lokc")), "no arm 'lokc'"),
    "a claim by what is not measured": (claims(at_most("lock", latency(75), 9)), "none of the"),
    "a claim about a law that there is not": (
        claims(follows_law("lock", FAILED, within=0.1)), "needs a prediction of failed",
    ),
    "a claim that crashes": (
        claims(Claim("of what it finds", ("lock",), (FAILED,), crashes)), "ZeroDivisionError",
    ),
    "an arm without a claim": (
        lambda e: replace(e, claims=[shows("direct", FAILED, at_least=1)]), "arm lock has no claim",
    ),
    "an act after its segment": (timeline(At(9.0, Slow("replica", 9))), "outside its segment"),
    "an act before its segment": (timeline(At(-1.0, Slow("replica", 9))), "outside its segment"),
    "an end before the start": (timeline(At(2.0, Kill("redis"), until_s=1.0)), "before its start"),
    "an end after the segment": (timeline(At(1.0, Kill("redis"), until_s=9.0)), "its segment"),
    "an act too short to be proven": (
        timeline(At(1.0, Kill("redis"), until_s=1.5)), "must last 1.2 s",
    ),
    "an act twice at a time": (
        timeline(At(1.0, Kill("redis")), At(2.0, Kill("redis"))), "begins again while",
    ),
    "an ability that no stack has": (timeline(At(1.0, odd(needs="kil"))), "did you mean kill?"),
    "a part that there is not": (timeline(At(1.0, odd(part="reids"))), "did you mean redis?"),
    "no round": (lambda e: replace(e, quick=replace(e.quick, rounds=0)), "must be above 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_each_error_is_named(name: str) -> None:
    change, said = WRONG[name]
    found = problems(change(HERD))
    assert any(said in problem for problem in found), found


@pytest.mark.parametrize("name", experiments.names())
def test_no_commit_is_lost_that_the_primary_itself_had_yet_to_write(name: str) -> None:
    """With `off` it is the log writer that loses writes and lags, not replication."""
    experiment = experiments.load(name)
    for arm in experiment.arms:
        settings = {**experiment.settings, **arm.settings}
        modes = {settings.get(of) for of in ("SYNCHRONOUS_COMMIT", "postgres:synchronous_commit")}
        assert "off" not in modes, arm.name


@pytest.mark.parametrize("name", experiments.names())
def test_what_there_is_has_no_error(name: str) -> None:
    assert problems(experiments.load(name)) == []


def test_a_shorter_segment_than_the_acts_need_is_refused() -> None:
    down = experiments.load("cache-down")
    short = replace(down.quick, segment_s=3.0)
    assert problems(down) == []
    assert any("after its segment" in problem for problem in problems(down, [short]))


@pytest.mark.parametrize(
    ("make", "arguments"), [(Slow, ("replicaa", 9)), (Kill, ("wroker",)), (Pause, ("red",))]
)
def test_an_act_on_what_there_is_not_cannot_be_made(
    make: Callable[..., Act], arguments: tuple[object, ...]
) -> None:
    with pytest.raises(ValueError, match=str(arguments[0])):
        make(*arguments)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: latency(990), "from 0 to 100, not 990"),
        (lambda: lost(cast(Any, "link")), "no ledger of 'link'; there are: clicks, links, edits"),
        (lambda: per_second("web.in_flight", "x", "x"), "is a gauge, which may fall: take peak"),
        (lambda: peak("web.redirects", "x", "x"), "is a counter, which only rises"),
    ],
)
def test_a_measure_of_what_it_cannot_measure_is_refused(make: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make()


def test_the_line_and_the_name_that_was_meant_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "from chaos import measures as m\n\nFAILED = m.faild()\n"
    (tmp_path / "with_a_slip.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(experiments, "__path__", [str(tmp_path)])
    with pytest.raises(experiments.WrongExperiment) as refused:
        experiments.load("with-a-slip")
    assert "with-a-slip: line 3: AttributeError" in str(refused.value)
    assert "did you mean failed?" in str(refused.value)


def test_an_experiment_that_cannot_be_imported_or_judged_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = __import__("chaos.experiments.cache_down", fromlist=["experiment"])
    wrong = replace(module.experiment, claims=[none(failed(), but="naiv")], name="cache-up")
    monkeypatch.setattr(module, "experiment", wrong)
    with pytest.raises(experiments.WrongExperiment) as refused:
        experiments.load("cache-down")
    assert "no arm 'naiv'; did you mean naive?" in str(refused.value)
    assert "its name is 'cache-up'" in str(refused.value)
    monkeypatch.delattr(module, "experiment")
    with pytest.raises(experiments.WrongExperiment, match=r"cache-down: AttributeError"):
        experiments.load("cache-down")


def test_a_hint_names_what_is_alike_or_all() -> None:
    assert nearest("lokc", ["lock", "lease"]) == "did you mean lock?"
    assert nearest("x", ["lock", "lease"]) == "there are: lease, lock"


def test_a_helper_beside_the_experiments_is_none() -> None:
    assert "-expiries" not in experiments.names()
    with pytest.raises(experiments.UnknownName):
        experiments.load("_expiries")


def test_traffic_is_checked_for_each_arm() -> None:
    arms = [replace(HERD.arms[1], traffic=Traffic(rate_per_s=-1.0)), HERD.arms[0]]
    assert any(p.startswith("arm singleflight: rate") for p in problems(replace(HERD, arms=arms)))
