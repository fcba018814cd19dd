"""One round: start a lab, crash it at a moment, and look for leftovers."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from random import Random

from tools.crashtest.crashes import CRASHES, Crash
from tools.crashtest.expectations import wrong_end, wrong_heal, wrong_record
from tools.crashtest.lab_under_test import LabHome, LabUnderTest, lab_home, lab_under_test
from tools.crashtest.leftover_watch import LeftoverWatch, watching
from tools.crashtest.outcome import ALREADY_OVER, Moment, RoundOutcome

# Phases of a run by the event that begins each, and their longest duration in seconds: importing,
# starting the stack, the control, a fault in force, reading back, judging and reporting.
PHASES = {
    "started": 1.2,
    "began": 2.5,
    "up": 2.0,
    "injected": 2.0,
    "reading-back": 1.0,
    "finished": 2.5,
}
REACHED_S = 60.0
ENDS_S = 120.0  # a whole run, on a busy machine
GONE_S = 10.0
POLL_S = 0.005


def play_round(seed: int, names: list[str]) -> RoundOutcome:
    """Play the round that this seed determines."""
    random = Random(seed)
    crash = CRASHES[names[seed % len(names)]]
    phase = random.choice(list(PHASES))
    outcome = RoundOutcome(seed, crash.name, Moment(phase, random.uniform(0, PHASES[phase])))
    began_s = time.monotonic()
    with lab_home() as home, watching(home.cwd / "*", home.tmp / "*") as watch:
        outcome.wrong += _played(outcome, crash, random, home, watch)
    outcome.took_s = time.monotonic() - began_s
    return outcome


def _played(
    outcome: RoundOutcome, crash: Crash, random: Random, home: LabHome, watch: LeftoverWatch
) -> Iterator[str]:
    with crash.prepare(home, random) as inject, lab_under_test(home, watch) as lab:
        moment, reached_s = wait_for(outcome.planned_at, lab), time.monotonic()
        reached = not lab.ended
        watch.note_ports()
        outcome.detail = inject(lab) if reached else ALREADY_OVER
        injected_s = time.monotonic()
        if reached:  # includes the wait for a part to start
            outcome.injected_at = moment.later(injected_s - reached_s)
        try:
            stdout, stderr = lab.process.communicate(timeout=ENDS_S)
        except subprocess.TimeoutExpired:
            yield f"it did not end within {ENDS_S:g} s"
            lab.process.kill()
            stdout, stderr = lab.process.communicate()
        outcome.code, outcome.ended_s = lab.process.returncode, time.monotonic() - injected_s
        yield from wrong_end(outcome, crash, reached, stdout + stderr, home)
        if crash.needs_heal:
            yield from wrong_heal(home)
        ended_s = time.monotonic()
        yield from watch.left_after(GONE_S)
        outcome.gone_s = time.monotonic() - ended_s
    yield from wrong_record(home)


def wait_for(moment: Moment, lab: LabUnderTest) -> Moment:
    """Wait for a moment; return the actual one, as the lab may be too slow or have ended."""
    deadline_s = time.monotonic() + REACHED_S
    phases = list(PHASES)
    for phase in phases[: phases.index(moment.phase) + 1]:
        if not _reaches(phase, lab, deadline_s):
            break
        at, since_s = phase, time.monotonic()
    else:
        while time.monotonic() < since_s + moment.later_s and not lab.ended:
            time.sleep(POLL_S)
    return Moment(at, time.monotonic() - since_s)


def _reaches(phase: str, lab: LabUnderTest, deadline_s: float) -> bool:
    while not (reached := _is_at(phase, lab.home)) and not lab.ended:
        if time.monotonic() > deadline_s:
            break
        time.sleep(POLL_S)
    return reached


def _is_at(phase: str, home: LabHome) -> bool:
    match phase:
        case "started":
            return True
        case "began":
            return home.run.exists()
        case _:
            return home.has_event(phase)
