"""One round: a lab is started, struck at its moment, and everything it could leave is looked at."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from random import Random

from tools.crashtest.crashes import CRASHES, Crash
from tools.crashtest.expectations import wrong_end, wrong_heal, wrong_record
from tools.crashtest.lab_under_test import LabHome, LabUnderTest, lab_home, lab_under_test
from tools.crashtest.leftovers import LeftoverWatch, watching
from tools.crashtest.outcome import ALREADY_OVER, Moment, RoundOutcome

# How far the run is, by what is on record, and how long the phase that begins then takes at most:
# importing, starting the stack, the control, a fault in force, reading back, judging and reporting.
PHASES = {
    "started": 1.2,
    "began": 2.5,
    "up": 2.0,
    "injected": 2.0,
    "reading-back": 1.0,
    "finished": 2.5,
}
GETS_THERE_S = 60.0
ENDS_S = 120.0  # a whole run, on a busy machine
GONE_S = 10.0
POLL_S = 0.005


def play_round(seed: int, blows: list[str]) -> RoundOutcome:
    """Play the round that follows from this seed."""
    random = Random(seed)
    blow = CRASHES[blows[seed % len(blows)]]
    phase = random.choice(list(PHASES))
    outcome = RoundOutcome(seed, blow.name, Moment(phase, random.uniform(0, PHASES[phase])))
    began_s = time.monotonic()
    with lab_home() as home, watching(home.cwd / "*", home.tmp / "*") as watch:
        outcome.wrong += _played(outcome, blow, random, home, watch)
    outcome.took_s = time.monotonic() - began_s
    return outcome


def _played(
    outcome: RoundOutcome, blow: Crash, random: Random, home: LabHome, watch: LeftoverWatch
) -> Iterator[str]:
    with blow.prepare(home, random) as strike, lab_under_test(home, watch) as lab:
        moment, reached_s = wait_for(outcome.meant, lab), time.monotonic()
        reached = not lab.ended
        watch.note_ports()
        outcome.detail = strike(lab) if reached else ALREADY_OVER
        struck_s = time.monotonic()
        if reached:  # a part that was not there yet has been waited for
            outcome.struck = moment.later(struck_s - reached_s)
        try:
            stdout, stderr = lab.process.communicate(timeout=ENDS_S)
        except subprocess.TimeoutExpired:
            yield f"it did not end within {ENDS_S:g} s"
            lab.process.kill()
            stdout, stderr = lab.process.communicate()
        outcome.code, outcome.ended_s = lab.process.returncode, time.monotonic() - struck_s
        yield from wrong_end(outcome, blow, reached, stdout + stderr, home)
        if blow.to_be_healed:
            yield from wrong_heal(home)
        ended_s = time.monotonic()
        yield from watch.left_after(GONE_S)
        outcome.gone_s = time.monotonic() - ended_s
    yield from wrong_record(home)


def wait_for(moment: Moment, lab: LabUnderTest) -> Moment:
    """Wait for it; what moment it really is, if the lab was too slow to come so far, or is over."""
    deadline_s = time.monotonic() + GETS_THERE_S
    phases = list(PHASES)
    for phase in phases[: phases.index(moment.phase) + 1]:
        if not _gets_to(phase, lab, deadline_s):
            break
        at, since_s = phase, time.monotonic()
    else:
        while time.monotonic() < since_s + moment.later_s and not lab.ended:
            time.sleep(POLL_S)
    return Moment(at, time.monotonic() - since_s)


def _gets_to(phase: str, lab: LabUnderTest, deadline_s: float) -> bool:
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
            return home.happened(phase)
