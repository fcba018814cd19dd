"""The gate's self-check: plants fit the code, verdicts are kept and summed up."""

from __future__ import annotations

import ast
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
import pytest

from chaos.perf.judging import judgement
from tests.support.gate_launches import SERVICE, launch
from tools.perf.plants import PLANTS, Plant
from tools.perf.power_page import BEGIN, END, PICTURE, picture, publish, table
from tools.perf.verdicts import Rate, Verdict, append, naive_verdict, on_record, summaries

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_a_plant_fits_the_code_as_it_is_and_leaves_it_a_program(
    plant: Plant, tmp_path: Path
) -> None:
    if plant.worse:
        (tmp_path / plant.file).parent.mkdir(parents=True)
        shutil.copy(ROOT / plant.file, tmp_path / plant.file)
    plant.apply(tmp_path)
    assert (ROOT / plant.service).exists()
    if plant.worse:
        planted = (tmp_path / plant.file).read_text()
        assert planted != (ROOT / plant.file).read_text()
        ast.parse(planted)


def test_a_plant_whose_place_is_gone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("nothing of it")
    with pytest.raises(ValueError, match="not once"):
        Plant("x", "perf.toml", "a.py", "old", "new").apply(tmp_path)


def verdicts(plant: str, said: Sequence[str]) -> list[Verdict]:
    return [Verdict(plant, one, "PASS", 60.0, 4, "abc", {"p50": 0.05}) for one in said]


def test_verdicts_are_read_back_but_for_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "new" / "verdicts.jsonl"
    assert on_record(path) == []
    kept = verdicts("nothing", ["PASS", "FAIL"])
    for one in kept:
        append(path, one)
    with path.open("a") as lines:
        lines.write('{"plant": "noth')
    assert on_record(path) == kept


def test_a_rate_has_the_bounds_of_clopper_and_pearson() -> None:
    assert Rate(0, 60).bounds == pytest.approx((0, 0.0596), abs=1e-3)
    assert Rate(19, 20).bounds == pytest.approx((0.7513, 0.9987), abs=1e-3)
    assert str(Rate(1, 2)) == "50 % [1 %, 99 %]"


def test_a_summary_counts_what_was_said_and_what_the_plant_did() -> None:
    known = verdicts("nothing", ["PASS", "PASS", "VOID"]) + verdicts("spin 100", ["FAIL"])
    nothing, spin = summaries(known, ["nothing", "spin 50", "spin 100"])
    assert (nothing.failed.hits, nothing.others) == (0, {"PASS": 2, "VOID": 1})
    assert (spin.failed, spin.dose("p50")) == (Rate(1, 1), 0.05)
    assert math.isnan(spin.dose("p99"))


def test_a_plain_gate_takes_the_first_base_and_the_head_after_it() -> None:
    calm = [launch(1), launch(2)]
    assert naive_verdict(judgement(SERVICE, calm, [])) == "PASS"
    assert naive_verdict(judgement(SERVICE, [launch(1), launch(2, {"head": 1.1})], [])) == "FAIL"
    drifted = [launch(1), launch(2, {"base": 1.1, "head": 1.1, "again": 1.1})]
    assert naive_verdict(judgement(SERVICE, drifted, [])) == "FAIL"
    assert np.isfinite(judgement(SERVICE, drifted, []).metrics[0].figures["base"]).all()


def test_table_and_picture_take_the_marked_place_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "gate.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    (tmp_path / "pictures").mkdir()
    known = summaries(verdicts("nothing", ["PASS"]), ["nothing"])
    publish(known, page, "Measured here.")
    text = page.read_text()
    assert text.startswith("before")
    assert text.endswith("after\n")
    assert "old" not in text
    assert table(known) in text
    Xml.fromstring((tmp_path / PICTURE).read_text())
    assert "nothing" in picture(known)
