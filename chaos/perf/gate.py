"""The gate: launches of all arms, until the verdict is clear, if it may be."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil

from chaos.model.evidence import Floats
from chaos.perf.arm_bed import ArmBed, Comparison, RunningArm, arm_bed
from chaos.perf.arm_client import ArmClient
from chaos.perf.cores import Cores, cpu_s, idle_s, wanted_s
from chaos.perf.counters import Counted, asks_for_more, counted
from chaos.perf.judging import Judgement, judgement
from chaos.perf.launches import ARMS, ArmName, Launch
from chaos.perf.load_plan import all_at_once, coin_flips, warm_up
from chaos.perf.rates import ASKED_PER_S, SEED_MAX, chosen_per_s, connected, worst
from chaos.perf.sequential import LOOKS
from chaos.perf.trouble import WrongInput

SETTLES_S = 0.05  # after a block: what one arm still works at would slow the next
SPOILED_SHARE = 0.01  # of base's requests
SPOILED_MAX = 4  # launches, each asked half as much as the one before
TRIES = 2  # of a run that is void

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """All that a gate's run recorded, and its judgement."""

    of: Comparison
    began: datetime
    seed: int
    rate_per_s: float
    counted: Counted
    launches: Sequence[Launch]
    judgement: Judgement
    spoiled: int
    duration_s: float


def run_gate(
    of: Comparison,
    cores: Cores,
    directory: Path,
    seed: int,
    progress: Progress,
    looks: Sequence[int] = LOOKS,
) -> Outcome:
    """Measure both revisions until the verdict is clear, or more would hardly make it so.

    Raw samples are written to `directory` as they come.

    Raises:
        WrongInput: a revision cannot be measured.
        StackError: the machine does not let it be measured.
    """
    began, started_s = datetime.now(UTC), time.monotonic()
    draw = random.Random(seed)
    progress("checking out and building")
    with arm_bed(of, cores, directory / "logs") as new_bed:
        bed = new_bed.seeded_once(draw)
        with bed.running(ARMS, draw) as arms:
            progress("counting what each request costs")
            counts = counted(bed, arms)
            decided = asks_for_more(counts)
            asked_per_s = of.service.load.rate_per_s
            rate_per_s = 0.0 if decided else asked_per_s or chosen_per_s(bed, arms, draw)
        launcher = _Launcher(bed, draw, rate_per_s)
        launches: list[Launch] = []
        judged = judgement(of.service, launches, counts, looks)
        while not judged.is_over(looks):
            progress(f"launch {len(launches) + 1} of at most {looks[-1]}")
            launch = launcher.launch(len(launches) + 1)
            launch.keep(directory / "samples")
            launches.append(launch)
            judged = judgement(of.service, launches, counts, looks)
    return Outcome(
        of, began, seed, launcher.rate_per_s, counts, launches, judged, launcher.spoiled,
        time.monotonic() - started_s,
    )  # fmt: skip


def run_until_valid(
    of: Comparison,
    cores: Cores,
    new_directory: Callable[[], Path],
    seeds: Iterator[int],
    progress: Progress,
) -> tuple[Outcome, Path]:
    """Run the gate, and once more if it is void; the last outcome, and where its samples are."""
    for left in reversed(range(TRIES)):
        directory = new_directory()
        outcome = run_gate(of, cores, directory, next(seeds), progress)
        if left and outcome.judgement.verdict == "VOID":
            progress("base differs from itself: once more")
            continue
        break
    return outcome, directory


@dataclass(frozen=True)
class _Block:
    """Answers and CPU time of an arm while it alone was asked, as fast as it answered.

    `wanted_s` is the CPU time that it used or stood in line for, `spare_s` what the client, or the
    cores that it shares with databases, had left.
    """

    place: int  # in the client
    answers: int  # right ones
    wanted_s: float
    spare_s: float


@dataclass
class _Launcher:
    """Launches all arms again and again; slower if the machine cannot keep up."""

    bed: ArmBed
    draw: random.Random
    rate_per_s: float
    spoiled: int = field(default=0)

    def launch(self, number: int) -> Launch:
        """The samples of a launch in which base answered as it should.

        Raises:
            WrongInput: it never does.
        """
        requests = self.bed.of.service.requests
        while True:
            launch, troubles = self._launch(number)
            wrong, counts = launch.wrong(requests), launch.counts()
            of_base = [(wrong[arm], counts[arm]) for arm in ("base", "again")]
            if all(bad <= SPOILED_SHARE * count for bad, count in of_base):
                return launch
            self.spoiled += 1
            self.rate_per_s /= 2
            if self.spoiled > SPOILED_MAX:
                raise WrongInput(spoiled_message(wrong, counts, troubles))

    def _launch(self, number: int) -> tuple[Launch, str]:
        service, load = self.bed.of.service, self.bed.of.service.load
        asked = service.requests, len(ARMS), self.rate_per_s
        before = warm_up(*asked, load.warm_up_s, self._seed())
        plan = coin_flips(*asked, load.launch_s, self._seed())
        with self.bed.running(ARMS, self.draw) as arms, connected(self.bed, arms) as client:
            client.send(before)
            before_s = [cpu_s(arm.process) for arm in arms]
            answers = client.send(plan)
            spent_s = [cpu_s(arm.process) - b for arm, b in zip(arms, before_s, strict=True)]
            blocks = self._blocks(client, arms)
        slots = [ARMS.index(arm.name) for arm in arms]  # the plan's arms are places in the client
        launch = Launch(
            number=number,
            arms=np.array(slots)[plan.arms],
            kinds=plan.kinds,
            due_s=plan.due_s,
            lag_s=answers.lag_s,
            latency_s=answers.latency_s,
            statuses=answers.statuses,
            cpu_s=np.array([spent_s[slots.index(place)] for place in range(len(ARMS))]),
            block_arms=np.array([slots[block.place] for block in blocks], dtype=np.int64),
            block_s=np.full(len(blocks), load.block_s),
            block_answers=np.array([block.answers for block in blocks], dtype=np.int64),
            block_wanted_s=np.array([block.wanted_s for block in blocks]),
            block_spare_s=np.array([block.spare_s for block in blocks]),
        )
        statuses = {
            int(s): int(n)
            for s, n in zip(*np.unique(answers.statuses, return_counts=True), strict=True)
        }
        return launch, f"{worst(answers.troubles)}; answers by status: {statuses}"

    def _blocks(self, client: ArmClient, arms: Sequence[RunningArm]) -> list[_Block]:
        """The exclusive blocks: all arms in some order, and back.

        So what drifts evenly meanwhile is the same for all (ABBA). All are asked the same on the
        way there, and the same on the way back: a dear kind more would be a lower capacity.
        """
        service = self.bed.of.service
        if not any(metric.figure == "capacity" for metric in service.metrics):
            return []
        there = self.draw.sample(range(len(ARMS)), len(ARMS))
        return [
            self._block(client, place, arms[place].process, seed)
            for places in (there, there[::-1])
            for seed in [self._seed()]
            for place in places
        ]

    def _block(self, client: ArmClient, place: int, server: psutil.Process, seed: int) -> _Block:
        requests, load = self.bed.of.service.requests, self.bed.of.service.load
        plan = all_at_once(requests, place, int(ASKED_PER_S * load.block_s), seed)
        before = self._clocks(server)
        answers = client.send(plan, load.block_s)
        server_s, others_s = (self._clocks(server) - before).tolist()
        time.sleep(SETTLES_S)
        own = zip(plan.kinds.tolist(), answers.statuses.tolist(), strict=True)
        return _Block(
            place,
            sum(requests[kind].expects(status) for kind, status in own),
            server_s,
            min(load.block_s - answers.client_s, others_s),
        )

    def _clocks(self, server: psutil.Process) -> Floats:
        """Seconds of CPU that a server wanted so far, and that the other cores had idle."""
        return np.array([wanted_s(server), idle_s(self.bed.cores.others)])

    def _seed(self) -> int:
        return self.draw.randrange(SEED_MAX)


def spoiled_message(
    wrong: Mapping[ArmName, int], counts: Mapping[ArmName, int], troubles: str
) -> str:
    """The message on a base that does not answer; head may be why, as they share a core."""
    head = ""
    if wrong["head"] > SPOILED_SHARE * counts["head"]:
        head = f"; nor does head: {wrong['head']} of {counts['head']} (it may starve base)"
    return f"base does not answer as the service file says: {troubles}{head}"
