"""`python -m tools.bench crosscheck`: compare our generator's report with the truth and vegeta's.

All tools load the same server at the same time, so a stall of the machine hits each of them. The
server's service times are known, so the correct report is known on paper; and the server notes how
long it really took, which is longer on a machine that is not quiet.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated

import typer

from chaos.model.evidence import LATE_SHARE_MAX
from chaos.model.stack import PartDied, StackError
from chaos.perf.cores import Cores, TooFewCores, choose, on
from tools.bench.report import FAILED, USAGE, Report, Table, finish, refuse, say
from tools.bench.tools import (
    OURS,
    REFERENCE,
    VEGETA,
    OfferedLoad,
    Readings,
    installed,
    median,
    missing,
    reading,
)
from tools.bench.truth import CASES, QUANTILES, ServerModel

PAPER, SERVED = "on paper", "as served"
NEAR, SHARE_NEAR = 0.05, 0.10
TRIES = 3
SLOWER_THAN_S = (0.25, 0.5, 1.0, 1.5)
_FIRST_FREEZE_S = 8.0  # by then every tool has begun; after the last freeze none has ended yet
_FREEZE_OFF = 0.01
_END_S = 20.0
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class ToolReport:
    """Reports of every tool for a case, and reasons why they may prove nothing."""

    case: ServerModel
    readings: Readings
    problems: Sequence[str]


def crosscheck(
    case: Annotated[list[str] | None, typer.Option(help="Only this case; repeatable.")] = None,
    rate: Annotated[float, typer.Option(min=50, max=1000, help="Requests a second, each.")] = 400.0,
) -> None:
    """Compare the reports of our generator, vegeta, oha and a closed loop on a known server.

    Takes four minutes. Exit code 0 if ours is within 5 % of what was served and of vegeta's at p50,
    p99 and p99.9, and the shares slower than some t within 10 % of the formula; 1 if not, or if
    something did not start; 2 if the machine has too few cores; 3 if it was not quiet.
    """
    names = case or list(CASES)
    if unknown := sorted(set(names) - set(CASES)):
        refuse(f"there is no case {', '.join(unknown)}: {', '.join(CASES)}", USAGE)
    for name, install in missing().items():
        say(f"{name} is not on PATH, so it is left out; to install it: {install}")
    if VEGETA in missing():
        refuse(f"without {VEGETA} there is nothing to compare with", USAGE)
    try:
        cores = choose()
        with on(cores.others):
            measured = {name: _measured(name, rate, cores) for name in names}
    except TooFewCores as problem:
        refuse(str(problem), USAGE)
    except (StackError, PartDied, OSError, subprocess.SubprocessError) as problem:
        refuse(str(problem), FAILED)
    finish("crosscheck", judged(measured, rate), cores)


def _measured(name: str, rate: float, cores: Cores) -> ToolReport:
    """Return the first of a few tries without problems, or else the last."""
    case = CASES[name]
    for _ in range(TRIES):
        say(f"{name}: {case.what}; {rate:g} requests a second from each, {case.duration_s:g} s")
        problems: list[str] = []
        readings = median([_round(name, rate, cores, problems) for _ in range(case.rounds)])
        measured = ToolReport(case, readings, [*problems, *doubts(case, readings)])
        if not measured.problems:
            break
    return measured


def _round(name: str, rate: float, cores: Cores, problems: list[str]) -> Readings:
    case = CASES[name]
    with ExitStack() as started:
        folder = Path(started.enter_context(tempfile.TemporaryDirectory(prefix="crosscheck-")))
        server = started.enter_context(_server(name, cores))
        begins = []
        for tool in installed():
            own = folder / tool.name
            own.mkdir()
            load = OfferedLoad(server.url, rate, case.duration_s, own)
            begins.append(started.enter_context(tool.ready(load)))
        waits = [
            begin() for begin in reversed(begins)
        ]  # those that still have to start, before ours
        if case.freeze_s:
            problems += server.freeze(case)
        reported = {name: reading for wait in waits for name, reading in wait().items()}
        return {SERVED: reading(server.end()), **reported}


def doubts(case: ServerModel, readings: Readings) -> Iterator[str]:
    """Yield reasons why a report may prove nothing: the machine was not quiet."""
    for share in QUANTILES:
        served_s = readings[SERVED].quantiles_s[share]
        if not abs(served_s / case.quantile_s(share) - 1) <= NEAR:
            yield f"the server itself was off at p{100 * share:g}: this machine is not quiet"
        counted_s, meant_s = (readings[who].quantiles_s[share] for who in (VEGETA, REFERENCE))
        if not abs(counted_s / meant_s - 1) <= NEAR:
            yield f"vegeta was late at p{100 * share:g}: this machine is not quiet"
    reported = readings[OURS].generator
    assert reported is not None
    if reported.late > LATE_SHARE_MAX * reported.sent:
        late = f"{reported.late} of our {reported.sent}"
        yield f"{late} requests were late: this machine is not quiet"
    if reported.unsent or reported.sent != len(readings[OURS].latencies_s):
        yield f"ours recorded {len(readings[OURS].latencies_s)} of {reported.offered} requests"


# --- report -------------------------------------------------------------------------------------


def judged(measured: Mapping[str, ToolReport], rate: float) -> Report:
    """Report a table for each case, and where ours is too far from the truth or from vegeta."""
    return Report(
        tables=[table for name, one in measured.items() for table in _tables(name, one, rate)],
        failed=[f"{name}: {what}" for name, one in measured.items() for what in _apart(one)],
        invalid=[f"{name}: {why}" for name, one in measured.items() for why in one.problems],
    )


def _tables(name: str, measured: ToolReport, rate: float) -> Iterator[Table]:
    case, readings = measured.case, measured.readings
    title = f"{name}: {case.what}; {rate:g} requests a second for {case.duration_s:g} s"
    headings = ["latency in ms", *(f"p{100 * share:g}" for share in QUANTILES)]
    paper = {share: case.quantile_s(share) for share in QUANTILES}
    rows = [[PAPER, *(f"{1000 * paper[share]:,.1f}" for share in QUANTILES)]]
    for who, one in readings.items():
        figures = [(one.quantiles_s[share], paper[share]) for share in QUANTILES]
        rows.append(
            [who, *(f"{1000 * is_s:,.1f} ({is_s / be_s - 1:+.1%})" for is_s, be_s in figures)]
        )
    yield Table(title, headings, rows)
    if case.freeze_s:
        yield _freeze_table(name, measured)


def _freeze_table(name: str, measured: ToolReport) -> Table:
    case = measured.case
    paper = {t_s: case.slower_share(t_s) for t_s in SLOWER_THAN_S}
    rows = [[PAPER, *(f"{paper[t_s]:.2%}" for t_s in SLOWER_THAN_S)]]
    for who, one in measured.readings.items():
        if len(one.latencies_s):
            shares = [(one.slower_share(t_s), paper[t_s]) for t_s in SLOWER_THAN_S]
            rows.append([who, *(f"{is_:.2%} ({is_ / be - 1:+.1%})" for is_, be in shares)])
    headings = ["requests slower than", *(f"{t_s:g} s" for t_s in SLOWER_THAN_S)]
    return Table(f"{name}: the share that the freezes hit", headings, rows)


def _apart(measured: ToolReport) -> Iterator[str]:
    case, ours = measured.case, measured.readings[OURS]
    for who, share in product((SERVED, REFERENCE), QUANTILES):
        off = ours.quantiles_s[share] / measured.readings[who].quantiles_s[share] - 1
        if not abs(off) <= NEAR:
            yield f"p{100 * share:g} is {off:+.1%} from: {who}"
    for t_s in SLOWER_THAN_S if case.freeze_s else ():
        off = ours.slower_share(t_s) / case.slower_share(t_s) - 1
        if not abs(off) <= SHARE_NEAR:
            yield f"the share slower than {t_s:g} s is {off:+.1%} from the formula"


# --- the server --------------------------------------------------------------------------------


class _KnownServer:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._process = process
        self.url = f"http://127.0.0.1:{int(process.stdout.readline())}"

    def freeze(self, case: ServerModel) -> Iterator[str]:
        """Freeze it as the case defines; yield freezes that lasted too long or too short."""
        next_s = time.monotonic() + _FIRST_FREEZE_S
        for _ in range(round(case.duration_s / case.every_s)):
            time.sleep(max(0.0, next_s - time.monotonic()))
            self._process.send_signal(signal.SIGSTOP)
            stopped_s = time.monotonic()
            time.sleep(case.freeze_s)
            self._process.send_signal(signal.SIGCONT)
            frozen_s = time.monotonic() - stopped_s
            if abs(frozen_s / case.freeze_s - 1) > _FREEZE_OFF:
                yield f"a freeze lasted {frozen_s:.3f} s"
            next_s += case.every_s

    def end(self) -> list[float]:
        """End it; return the actual time of each request, in seconds."""
        self._process.terminate()
        served_s: list[float] = json.loads(self._process.communicate(timeout=_END_S)[0])
        return served_s


@contextmanager
def _server(name: str, cores: Cores) -> Iterator[_KnownServer]:
    """Start the known server on its core."""
    with on(frozenset({cores.server})):
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.bench.fixture", name],
            cwd=_ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
    try:
        yield _KnownServer(process)
    finally:
        process.kill()
        process.wait()
