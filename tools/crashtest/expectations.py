"""Check the exit code, the output and the record of a crashed lab; yield each fault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb

from tools.crashtest.crashes import FULL_DISK, INTERRUPTED, INVALID, JUDGED, PART_DIES, Crash
from tools.crashtest.lab_under_test import LabHome, linkstorm
from tools.crashtest.outcome import RoundOutcome


def wrong_end(
    outcome: RoundOutcome, crash: Crash, reached: bool, output: str, home: LabHome
) -> Iterator[str]:
    """Yield what is wrong with the exit code and the output."""
    finished = home.has_event("finished")
    codes = crash.codes | JUDGED if finished else crash.codes
    if outcome.code not in codes or (not reached and outcome.code not in JUDGED):
        yield f"exit code {outcome.code}: {output[-500:]!r}"
    unwritten = outcome.code == INVALID and "cannot be written" in output
    if finished and outcome.code in JUDGED and not unwritten:
        yield from _other_than_on_record(outcome.code, home, output)
    if "Traceback" in output:
        yield f"a traceback: {output[-1500:]}"
    if outcome.code == INTERRUPTED and home.run.exists() and "healed and stopped" not in output:
        yield f"interrupted, it printed {output!r}"
    if outcome.code == INVALID and not output.strip() and outcome.crash != "closed stdout":
        yield "exit code 3 without a message"
    if reached and not finished and not outcome.missed:
        yield from _cause_unnamed(outcome, " ".join(output.split()))
    if outcome.crash == "nothing" and not finished:
        yield f"undisturbed, it did not finish: {output[-500:]}"


def _other_than_on_record(code: int | None, home: LabHome, output: str) -> Iterator[str]:
    kept = home.run / "verdict.json"
    if not kept.exists():
        yield f"exit code {code}, and no verdict on record: {output[-500:]!r}"
        return
    verdict = json.loads(kept.read_text())["verdict"]
    if code != {"PASS": 0, "FAIL": 1, "INVALID": INVALID}[verdict]:
        yield f"exit code {code}, and the verdict on record is {verdict}"


def _cause_unnamed(outcome: RoundOutcome, output: str) -> Iterator[str]:
    """The output must name the part that died, or the full disk."""
    if outcome.crash == PART_DIES and outcome.detail not in output:
        yield f"it does not name {outcome.detail}: {output}"
    if outcome.crash == FULL_DISK and "space left" not in output:
        yield f"it does not name the full disk: {output}"


def wrong_heal(home: LabHome) -> Iterator[str]:
    """Even without a guardian `status` must list leftovers, and `heal` must remove them."""
    code, output = linkstorm(home, "status")
    folders = list(home.tmp.iterdir())
    if code or any(f"{folder}: left by" not in output for folder in folders):
        yield f"status ended with {code}, and there is {folders}: {output}"
    code, output = linkstorm(home, "heal")
    if code:
        yield f"heal ended with {code}: {output}"


def wrong_record(home: LabHome) -> Iterator[str]:
    """`linkstorm judge` must read the record, or name the damaged file."""
    if not home.run.exists():
        return
    code, output = linkstorm(home, "judge", str(home.run), "--format", "json")
    if code in JUDGED and not output.strip():
        yield "judge printed nothing"
    elif code in JUDGED:
        json.loads(output)
        yield from _damaged(home.run)
    elif code != 2 or str(home.run) not in output or "Traceback" in output:
        yield f"judge ended with {code}: {output}"


def _damaged(run: Path) -> Iterator[str]:
    """Yield files that cannot be read though `judge` accepted the record."""
    with duckdb.connect() as db:
        for file in sorted(run.rglob("*")):
            try:
                match file.suffix:
                    case ".json":
                        json.loads(file.read_text())
                    case ".jsonl":
                        [json.loads(line) for line in file.read_text().splitlines()]
                    case ".parquet":
                        db.execute(f"SELECT count(*) FROM '{file}'").fetchall()
            except (ValueError, duckdb.Error) as error:
                yield f"{file.name} cannot be read, and judge did not report it: {error}"
