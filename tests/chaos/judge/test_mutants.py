"""Every seeded error in the evidence is seen, and each checker is the first to see some of them."""

from __future__ import annotations

import json
import math
import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos import experiments
from chaos.model.experiment import Act
from chaos.record.writer import SCHEMAS
from tests.support.mutants.__main__ import caught, page
from tests.support.mutants.altering import rows
from tests.support.mutants.judging import Mutant, Outcome, judged, outcome, run_directory
from tests.support.mutants.outcomes import outcomes
from tests.support.mutants.registry import SILENT, sound_under
from tests.support.thorough import LONG_S, times

SOUND = Mutant("sound", "", "")
PAGE = Path(__file__).parents[3] / "docs" / "mutants.md"


@pytest.mark.parametrize("of", ["herd", "busy"])
@pytest.mark.parametrize("full", [False, True], ids=["quick", "full"])
def test_the_record_that_mutants_are_made_of_passes(of: Any, full: bool) -> None:
    assert outcome(replace(SOUND, of=of, full=full)) == Outcome("PASS", ())


@pytest.mark.parametrize("act", SILENT, ids=lambda act: act.name)
def test_under_each_other_act_it_shows_no_herd_and_nothing_else_is_wrong(act: Act) -> None:
    (reason,) = outcome(sound_under(act)).reasons
    assert reason.text.startswith("direct shows the failure")


@pytest.mark.timeout(1200)
def test_every_mutant_is_caught_and_the_page_says_by_whom() -> None:
    seen = outcomes()
    assert [mutant.name for mutant, its in seen.items() if not caught(mutant, its)] == []
    assert PAGE.read_text(encoding="utf-8") == page(seen)
    assert _checkers() - {its.reasons[0].text for its in seen.values()} == set()


def _checkers() -> set[str]:
    """Every check and claim, as its finding is worded."""
    with run_directory(SOUND) as run:
        judged(run)
        checks = json.loads((run / "verdict.json").read_text(encoding="utf-8"))["checks"]
    claims = experiments.load("thundering-herd").claims
    return {check["text"] for check in checks} | {claim.text for claim in claims}


# --- errors that nobody thought of ---------------------------------------------------------------

ODD_VALUES: list[Any] = [None, "", "x", -1, 0, 1, 10**20, 1e308, math.nan, math.inf, [], {}, True]
ODD_CELLS = ["NULL", "0", "-1", "1e18", "'NaN'", "'inf'", "''", "'x'", "'ok'", "'2-7'", "'2-code3'"]
TABLES = ("requests", "look_ups", "samples", "clicks", "totals", "links")


def spoil_json(run: Path, draw: random.Random) -> None:
    """One value of a line of JSON, however deep, is another."""
    file = run / draw.choice(["plan.json", "events.jsonl"])
    whole = file.read_text(encoding="utf-8")
    lines = [whole] if file.name == "plan.json" else whole.splitlines()
    number = draw.randrange(len(lines))
    lines[number] = json.dumps(spoilt(json.loads(lines[number]), draw))
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def spoilt(value: Any, draw: random.Random) -> Any:
    inside = list(value) if isinstance(value, dict) else [*range(len(as_list(value)))]
    if not inside or draw.random() < 0.1:
        return draw.choice(ODD_VALUES)
    name = draw.choice(inside)
    value[name] = spoilt(value[name], draw)
    return value


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def spoil_rows(run: Path, draw: random.Random) -> None:
    """A cell, a column, or some rows of a table are others, where the type lets them."""
    name = draw.choice(TABLES)
    column = draw.choice(list(SCHEMAS[name]))
    which = draw.choice(["true", "hash(column0) % 7 = 0", "rowid0 = 5"])
    value = f"coalesce(TRY_CAST({draw.choice(ODD_CELLS)} AS {SCHEMAS[name][column]}), {column})"
    numbered = "SELECT *, row_number() OVER () AS rowid0, hash(t) AS column0 FROM {0} AS t"
    if draw.random() < 0.3:
        kept = f"FROM ({numbered}) WHERE NOT ({which})"
    else:
        kept = (
            f"SELECT * REPLACE (CASE WHEN {which} THEN {value} ELSE {column} END AS {column})"
            f" FROM ({numbered})"
        )
    rows(name, f"SELECT * EXCLUDE (rowid0, column0) FROM ({kept})")(run)


def spoil_bytes(run: Path, draw: random.Random) -> None:
    """Some bytes of a file are others, or its end is missing."""
    file = run / draw.choice(["plan.json", "events.jsonl", *(f"{t}.parquet" for t in TABLES)])
    data = bytearray(file.read_bytes())
    for _ in range(draw.randint(1, 4)):
        data[draw.randrange(len(data))] = draw.randrange(256)
    file.write_bytes(data[: draw.choice([len(data), draw.randrange(len(data))])])


SPOILERS = [spoil_json, spoil_json, spoil_rows, spoil_rows, spoil_bytes]
FAILING = Mutant("lock locks nothing", "", "", flaws=("lock acts as direct",))


@pytest.mark.timeout(LONG_S)
@settings(max_examples=times(10, 1500), deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_is_spoilt_a_failure_stays_one_and_nothing_crashes(seed: int) -> None:
    draw = random.Random(seed)
    with run_directory(FAILING) as run:
        for _ in range(draw.randint(1, 3)):
            with suppress(duckdb.Error, ValueError):  # what is spoilt already, some cannot read
                draw.choice(SPOILERS)(run, draw)
        assert judged(run).verdict != "PASS"
