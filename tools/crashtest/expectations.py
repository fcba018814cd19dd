"""Whether a lab that was struck ended, spoke, and left its record as it should: what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb

from tools.crashtest.crashes import FULL_DISK, INTERRUPTED, INVALID, JUDGED, PART_DIES, Crash
from tools.crashtest.lab_under_test import LabHome, linkstorm
from tools.crashtest.outcome import RoundOutcome


def wrong_end(
    outcome: RoundOutcome, blow: Crash, reached: bool, said: str, home: LabHome
) -> Iterator[str]:
    """What is wrong with how it ended and with what it said."""
    through = home.happened("finished")
    codes = blow.codes | JUDGED if through else blow.codes
    if outcome.code not in codes or (not reached and outcome.code not in JUDGED):
        yield f"exit code {outcome.code}: {said[-500:]!r}"
    unwritten = outcome.code == INVALID and "cannot be written" in said
    if through and outcome.code in JUDGED and not unwritten:
        yield from _other_than_on_record(outcome.code, home, said)
    if "Traceback" in said:
        yield f"a traceback: {said[-1500:]}"
    if outcome.code == INTERRUPTED and home.run.exists() and "healed and stopped" not in said:
        yield f"interrupted, it said {said!r}"
    if outcome.code == INVALID and not said.strip() and outcome.blow != "closed stdout":
        yield "exit code 3 without a word"
    if reached and not through and not outcome.missed:
        yield from _cause_unnamed(outcome, " ".join(said.split()))
    if outcome.blow == "nothing" and not through:
        yield f"undisturbed, it did not finish: {said[-500:]}"


def _other_than_on_record(code: int | None, home: LabHome, said: str) -> Iterator[str]:
    kept = home.run / "verdict.json"
    if not kept.exists():
        yield f"exit code {code}, and no verdict on record: {said[-500:]!r}"
        return
    verdict = json.loads(kept.read_text())["verdict"]
    if code != {"PASS": 0, "FAIL": 1, "INVALID": INVALID}[verdict]:
        yield f"exit code {code}, and the verdict on record is {verdict}"


def _cause_unnamed(outcome: RoundOutcome, said: str) -> Iterator[str]:
    """Whoever reads what a run stopped for learns which part it was, or that the disk was full."""
    if outcome.blow == PART_DIES and outcome.detail not in said:
        yield f"it does not name {outcome.detail}: {said}"
    if outcome.blow == FULL_DISK and "space left" not in said:
        yield f"it does not name the full disk: {said}"


def wrong_heal(home: LabHome) -> Iterator[str]:
    """After the death of the guardian, too, `status` tells what is left and `heal` mends it."""
    code, said = linkstorm(home, "status")
    folders = list(home.tmp.iterdir())
    if code or any(f"{folder}: left by" not in said for folder in folders):
        yield f"status ended with {code}, and there is {folders}: {said}"
    code, said = linkstorm(home, "heal")
    if code:
        yield f"heal ended with {code}: {said}"


def wrong_record(home: LabHome) -> Iterator[str]:
    """Whether `linkstorm judge` reads the record, or names the file that is damaged."""
    if not home.run.exists():
        return
    code, said = linkstorm(home, "judge", str(home.run), "--format", "json")
    if code in JUDGED and not said.strip():
        yield "judge said nothing"
    elif code in JUDGED:
        json.loads(said)
        yield from _damaged(home.run)
    elif code != 2 or str(home.run) not in said or "Traceback" in said:
        yield f"judge ended with {code}: {said}"


def _damaged(run: Path) -> Iterator[str]:
    """Files of a record that was judged, and that cannot be read all the same."""
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
                yield f"{file.name} cannot be read, and judge did not say so: {error}"
