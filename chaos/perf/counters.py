"""Exact counters: what each kind of request asks of databases, and what a service counts itself.

So many requests are sent to an arm one after the other, with nothing else under way in it, and the
counters are read before and after. All arms are counted at once: what is counted is each one's own.
Reading the counters adds to some of them, which is measured and left out. What a service does in
the background adds, too, now and then and to any arm: so there are up to five rounds, and head
fails if each of its rounds is above all of base's. If nothing but chance sets rounds apart, the
odds that head's are the highest five of fifteen are 1 to 3002. A round in which it is not above is
the last: no other can make it fail.
"""

from __future__ import annotations

import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise, product
from statistics import median
from typing import Literal

import numpy as np

from chaos.model.evidence import Ints
from chaos.perf.arm_bed import ArmBed, RunningArm
from chaos.perf.arm_client import ArmClient
from chaos.perf.environments import arm_environment
from chaos.perf.launches import ArmName
from chaos.perf.load_plan import FEW_NUMBERS, LoadPlan
from chaos.perf.service_file import CounterSource, Request, filled
from chaos.perf.trouble import WrongInput

LINE = re.compile(
    r"^([A-Za-z_][^\s{#]*\{.*\}|[A-Za-z_](?:[^#\n]*?[^#\s=:])??)"  # with labels, or of words
    r"[ \t=:]+([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)"
    r"(?:[ \t]+\d{13})?[ \t]*\r?$",  # Prometheus may add the time in milliseconds
    re.MULTILINE,
)
READ_S = 10.0
WARM_UP = 5  # for connections and prepared statements
ROUNDS = 5
READINGS = 3  # without a request, to see what reading adds
BYTES_SHARE = 0.1  # a few may be times and ids within an answer, or a header more
BYTES_LEAST, TRIPS_LEAST = 8.0, 0.1  # the end of a reading may be counted late
ANSWER_BYTES = "answer bytes"
SETTLE_S = 0.1  # until what is counted in batches is counted

CounterVerdict = Literal["PASS", "FAIL", "not exact"]


@dataclass(frozen=True)
class CounterChange:
    """The rise of a counter by one request of a kind, in each arm: the median of its rounds."""

    request: str
    counter: str
    of: Mapping[ArmName, float]
    verdict: CounterVerdict


Counted = Sequence[CounterChange]


def asks_for_more(counted: Counted) -> bool:
    """True if head fails by a counter."""
    return any(change.verdict == "FAIL" for change in counted)


def counted(bed: ArmBed, arms: Sequence[RunningArm]) -> Counted:
    """Count the requests of each kind, and judge each counter.

    Raises:
        WrongInput: a counter that is asked for is not there, or base answers wrongly.
    """
    with ThreadPoolExecutor(len(arms)) as threads:
        changes = [
            change
            for kind in range(len(bed.of.service.requests))
            for change in _counted(bed, arms, kind, threads)
        ]
    for arm, source in product(arms, bed.of.service.counters):  # some begin with what they count
        require_all(source, _text(source, bed, arm), arm.name)
    return changes


def _counted(bed: ArmBed, arms: Sequence[RunningArm], kind: int, threads: Executor) -> Counted:
    """Judge the counters of a kind by rounds of all arms at once."""
    request, tolerance = bed.of.service.requests[kind], bed.of.service.counting.tolerance
    rounds: dict[ArmName, list[Mapping[str, float]]] = {arm.name: [] for arm in arms}
    for number in range(ROUNDS):
        a_round = threads.map(lambda arm, n=number: _per_request(bed, arm, kind, n), arms)
        for arm, of_arm in zip(arms, a_round, strict=True):
            rounds[arm.name].append(of_arm)
        of = by_counter(rounds)
        if not any(head_is_above(name, own, tolerance) for name, own in of.items()):
            break
    return [judged(request.name, name, own, tolerance) for name, own in of.items()]


def by_counter(
    rounds: Mapping[ArmName, Sequence[Mapping[str, float]]],
) -> dict[str, dict[ArmName, list[float]]]:
    """The rounds of each counter; one that is not there is 0."""
    names = dict.fromkeys(name for own in rounds.values() for one in own for name in one)
    return {
        name: {arm: [one.get(name, 0.0) for one in own] for arm, own in rounds.items()}
        for name in names
    }


def judged(
    request: str, counter: str, rounds: Mapping[ArmName, Sequence[float]], tolerance: float
) -> CounterChange:
    """The verdict on a counter: FAIL if head is above base, and not by what sets base apart, too.

    Where base's two arms differ in every round, it is no matter of chance, and head may differ for
    the same reason.
    """
    of = {arm: median(own) for arm, own in rounds.items()}
    base, again = rounds["base"], rounds["again"]
    least = _tolerance(counter, rounds, tolerance)
    verdict: CounterVerdict = "not exact" if _spread([*base, *again]) > least else "PASS"
    base_differs = _is_above(base, again, least) or _is_above(again, base, least)
    if not base_differs and head_is_above(counter, rounds, tolerance):
        verdict = "FAIL"
    return CounterChange(request, counter, of, verdict)


def head_is_above(
    counter: str, rounds: Mapping[ArmName, Sequence[float]], tolerance: float
) -> bool:
    """True if head counts more in each round than base in any.

    By more than the tolerance, and by more than rounds of base differ. Another round can only make
    it false.
    """
    bases = [*rounds["base"], *rounds["again"]]
    least = _tolerance(counter, rounds, tolerance)
    return _is_above(rounds["head"], bases, max(least, _spread(bases)))


def _spread(of: Sequence[float]) -> float:
    return max(of) - min(of)


def _is_above(those: Sequence[float], others: Sequence[float], by: float) -> bool:
    return min(those) > max(others) + by


def _tolerance(counter: str, rounds: Mapping[ArmName, Sequence[float]], tolerance: float) -> float:
    if counter.endswith("bytes"):
        return max(tolerance, BYTES_LEAST, BYTES_SHARE * max(rounds["base"]))
    if counter.endswith("round trips"):
        return max(tolerance, TRIPS_LEAST)
    return tolerance


def _per_request(bed: ArmBed, arm: RunningArm, kind: int, number: int) -> Mapping[str, float]:
    """The rise of each counter by one request of a kind, in a round."""
    service, counting = bed.of.service, bed.of.service.counting
    beforehand, numbers = round_numbers(service.requests[kind], counting.requests, number)
    client = ArmClient([arm.address], service.requests, 1)
    try:
        _ask(client, kind, service.requests[kind], beforehand, arm, pause_s=0)
        before, reading = _before(bed, arm)
        received_bytes = _ask(
            client, kind, service.requests[kind], numbers, arm, counting.pause_ms / 1000
        )
        after = _read(bed, arm)
    finally:
        client.close()
    risen = {name: after[name] - before.get(name, 0.0) - reading.get(name, 0.0) for name in after}
    risen[ANSWER_BYTES] = received_bytes
    return {name: value / counting.requests for name, value in risen.items()}


def round_numbers(request: Request, count: int, number: int) -> tuple[Ints, Ints]:
    """The numbers asked for beforehand in a round, and those that are counted.

    Few numbers have all been asked for, as under load. Of many, each is new, in every round.
    """
    a_round = WARM_UP + count
    if request.numbers <= max(FEW_NUMBERS, ROUNDS * a_round):
        draw = np.random.default_rng(number)
        return np.arange(request.numbers), draw.integers(request.numbers, size=count)
    drawn = np.random.default_rng(0).choice(request.numbers, ROUNDS * a_round, replace=False)
    own = drawn[number * a_round :][:a_round]
    return own[:WARM_UP], own[WARM_UP:]


def _before(bed: ArmBed, arm: RunningArm) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """The counters, and by how much reading them raises each."""
    readings = [_read(bed, arm) for _ in range(READINGS)]
    risen = [
        {name: later[name] - earlier.get(name, 0.0) for name in later}
        for earlier, later in pairwise(readings)
    ]
    return readings[-1], {name: min(own.get(name, 0.0) for own in risen) for name in risen[-1]}


def _ask(
    client: ArmClient, kind: int, request: Request, numbers: Ints, arm: RunningArm, pause_s: float
) -> int:
    """Send requests one by one, each a pause after the answer to the one before; sum their bytes.

    Head's wrong answers count later: in launches, as what makes it fail.
    """
    zero = np.zeros(1, dtype=np.int64)
    received_bytes = 0
    for number in numbers.tolist():
        answers = client.send(LoadPlan(np.zeros(1), zero, zero + kind, zero + number))
        status = int(answers.statuses[0])
        received_bytes += int(answers.received_bytes[0])
        if arm.name != "head" and not request.expects(status):
            raise WrongInput(
                f"{request.method} {request.path} ({request.name}) is answered with "
                f"{status or next(iter(answers.troubles))}, not {request.status or 'below 400'}"
            )
        time.sleep(pause_s)
    time.sleep(SETTLE_S)
    return received_bytes


def _read(bed: ArmBed, arm: RunningArm) -> dict[str, float]:
    counts = bed.databases.counts(arm.name)
    for source in bed.of.service.counters:
        counts |= wanted(source, _text(source, bed, arm))
    return counts


def _text(source: CounterSource, bed: ArmBed, arm: RunningArm) -> str:
    host, port = arm.address
    try:
        if source.path is not None:
            with urllib.request.urlopen(
                f"http://{host}:{port}{source.path}", timeout=READ_S
            ) as page:
                return str(page.read().decode(errors="replace"))
        values = {**bed.values[arm.name], "port": str(port)}
        command = filled(source.command or (), values)
        return subprocess.run(
            command, cwd=bed.folders[arm.name], env=arm_environment(), capture_output=True,
            encoding="utf-8", errors="replace", check=True, timeout=READ_S,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise WrongInput(f"{arm.name}: its counters cannot be read: {error}") from error


def numbers_in(text: str) -> Iterator[tuple[str, float]]:
    """The lines of a text that are a name and a number, as of a page for Prometheus."""
    for name, number in LINE.findall(text):
        yield name, float(number)


def wanted(source: CounterSource, text: str) -> dict[str, float]:
    """The counters of a source's text that are asked for."""
    return {
        name: value
        for name, value in numbers_in(text)
        if not source.only or any(_matches(name, one) for one in source.only)
    }


def require_all(source: CounterSource, text: str, arm: str) -> None:
    """Refuse a text without a counter that is asked for: to pass over it would gate nothing.

    Raises:
        WrongInput: a name of `only` is not there, or there is no counter at all.
    """
    names = [name for name, _ in numbers_in(text)]
    for one in source.only or ("*",):
        if not any(_matches(name, one) for name in names):
            raise WrongInput(f"{arm}: {source} prints no counter that matches {one}")


def _matches(name: str, one: str) -> bool:
    return name.startswith(one[:-1]) if one.endswith("*") else name == one
