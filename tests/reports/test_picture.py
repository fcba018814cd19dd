"""The picture: one SVG that answers the question, for a README and for the report."""

from __future__ import annotations

import itertools
import math
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.picture import picture
from reports.scales import around, fitting
from tests.support.results import busy_result, result_with

ZERO = {"value": 0.0, "formula": "0", "source": "", "bound": False}
SVG = "{http://www.w3.org/2000/svg}"


def drawn(result: dict[str, object], width: int = 760) -> Xml.Element:
    return Xml.fromstring(picture(result, width))


def dots(svg: Xml.Element) -> list[tuple[float, str]]:
    return [(float(dot.attrib["cx"]), dot.attrib["class"]) for dot in svg.iter(f"{SVG}circle")]


def test_each_arm_is_a_dot_and_the_naive_one_has_its_own_colour() -> None:
    result = result_with()
    found = dots(drawn(result))

    assert len(found) == len(result["arms"])
    assert [style for _, style in found] == ["naive"] + ["fixed"] * 5


def test_a_larger_figure_lies_further_right() -> None:
    result = result_with()
    values = [arm["measures"][result["headline"]]["value"] for arm in result["arms"]]
    places = [x for x, _ in dots(drawn(result))]

    assert sorted(values) == [value for _, value in sorted(zip(places, values, strict=True))]


def test_theory_is_a_tick_for_each_arm_with_a_flag_where_it_is_a_bound() -> None:
    styles = [path.get("class") for path in drawn(result_with()).iter(f"{SVG}path")]

    assert styles.count("theory") == 6
    assert styles.count("flag") == 1


def test_it_can_be_read_without_being_seen() -> None:
    svg = drawn(result_with())

    assert "How many requests reach the database?" in str(svg.findtext(f"{SVG}title"))
    description = str(svg.findtext(f"{SVG}desc"))
    assert "direct (naive): 28.2 [26.3, 36.4], theory 28.4." in " ".join(description.split())
    assert "theory ≤ 2" in description


def test_it_needs_nothing_from_elsewhere_and_knows_the_dark() -> None:
    text = picture(result_with())

    assert "prefers-color-scheme: dark" in text
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")


@pytest.mark.parametrize("width", [350, 760])
def test_everything_stays_inside(width: int) -> None:
    svg = drawn(result_with(), width)
    height = float(svg.attrib["height"])

    for text in svg.iter(f"{SVG}text"):
        assert 0 <= float(text.attrib["x"]) <= width
        assert 0 <= float(text.attrib["y"]) <= height


def test_an_invalid_run_says_so_and_lacks_the_dots_it_has_no_figure_for() -> None:
    svg = drawn(result_with("part dies"))

    assert "INVALID" in "".join(svg.itertext())
    assert len(dots(svg)) == 1


def test_a_run_without_arms_is_still_a_picture() -> None:
    drawn(result_with() | {"arms": []})


def of_two(naive: dict[str, Any], fixed: dict[str, Any]) -> dict[str, Any]:
    """A result whose two arms have these figures."""
    result = busy_result()
    for arm, figures in zip(result["arms"], (naive, fixed), strict=True):
        known = {"low": figures["value"], "high": figures["value"], "prediction": None}
        arm["measures"][result["headline"]] |= known | figures
    return result


def texts(svg: Xml.Element) -> list[str]:
    return ["".join(text.itertext()) for text in svg.iter(f"{SVG}text")]


def test_none_lost_is_drawn_at_a_zero_that_is_marked() -> None:
    svg = drawn(of_two({"value": 23.0}, {"value": 0.0}))
    marks = [text for text in svg.iter(f"{SVG}text") if text.get("class") == "soft middle"]
    ticks = {mark.text: float(mark.attrib["x"]) for mark in marks}

    (some, _), (none, _) = dots(svg)
    assert none == ticks["0"] > 0
    assert ticks["20"] < some
    assert "log scale" not in "".join(texts(svg))


@pytest.mark.parametrize(
    ("naive", "fixed", "log"),
    [
        ({"value": 12000.0}, {"value": 3.0}, True),
        ({"value": 12000.0}, {"value": 0.0}, False),
        ({"value": 118.0}, {"value": 96.0}, False),  # one decade
        ({"value": 12000.0}, {"value": 3.0, "prediction": ZERO}, False),
        ({"value": 12000.0}, {"value": 3.0, "low": 0.0}, True),
        ({"value": 0.0}, {"value": 0.0}, False),
    ],
)
def test_the_scale_suits_the_figures(
    naive: dict[str, Any], fixed: dict[str, Any], log: bool
) -> None:
    result = of_two(naive, fixed)
    svg = drawn(result)

    assert ("log scale" in "".join(texts(svg))) == log
    found = [x for x, _ in dots(svg)]
    assert len(found) == 2
    assert (found[0] > found[1]) == (naive["value"] > fixed["value"])
    edges = [path.attrib["d"] for path in svg.iter(f"{SVG}path") if path.get("stroke-dasharray")]
    left, right = (float(edge) for edge in edges[0][1:].replace(" 88H", " ").split())
    assert all(left + 5.5 < x < right - 5.5 for x in found)


@pytest.mark.parametrize("width", [350, 760])
def test_long_figures_do_not_run_into_one_another(width: int) -> None:
    theory = ZERO | {"value": 11_000.0}
    figures = {"low": 9e3, "value": 12_345.0, "high": 15e3, "prediction": theory}
    svg = drawn(of_two(figures | {"interval": "mean95"}, {"value": 0.0}), width)

    y = next(t.attrib["y"] for t in svg.iter(f"{SVG}text") if "12,345" in str(t.text))
    row = [text for text in svg.iter(f"{SVG}text") if text.attrib["y"] == y]
    spans = sorted(_span(text) for text in row)
    assert all(left_end < right for (_, left_end), (right, _) in itertools.pairwise(spans))


def _span(text: Xml.Element) -> tuple[float, float]:
    """About where a text begins and ends: 6.3 pixels a character."""
    x, length = float(text.attrib["x"]), 6.3 * len("".join(text.itertext()))
    return (x - length, x) if "end" in text.attrib["class"].split() else (x, x + length)


def test_a_censored_figure_is_an_open_dot_with_an_arrow() -> None:
    figures = {"unit": "s", "low": 6.0, "high": 9.0, "value": 8.0, "at_least": True}
    svg = drawn(of_two(figures, {"unit": "s", "value": 0.5}))
    styles = [style for _, style in dots(svg)]
    marks = [path.attrib["class"] for path in svg.iter(f"{SVG}path")]

    assert styles == ["naive open", "fixed"]
    assert marks.count("naive more") == 1
    assert "≥ 8.0 s" in texts(svg)
    assert "[6.0 s, –]" in texts(svg)
    assert "careless (naive): ≥ 8.0 s [6.0 s, –]." in str(svg.findtext(f"{SVG}desc"))


def test_zero_and_one_sided_intervals_can_be_drawn() -> None:
    result = result_with()
    result["arms"][1]["measures"][result["headline"]] |= {"value": 0.0, "low": -1.0, "high": 0.5}
    result["arms"][2]["measures"][result["headline"]] |= {"low": None, "high": None}

    assert len(dots(drawn(result))) == 6


def test_hostile_text_is_only_text() -> None:
    hostile = '<script>alert(1)</script>&"\x1b[1m\x00'
    result = result_with() | {"question": hostile}
    result["arms"][0]["name"] = hostile

    svg = drawn(result)

    assert not list(svg.iter(f"{SVG}script"))
    assert '<script>alert(1)</script>&"' in "".join(svg.itertext())


FIGURES = st.lists(st.floats(1e-3, 1e9), max_size=6)


@given(FIGURES, st.booleans())
def test_a_scale_holds_all_its_values_in_their_order_and_marks_round_ones(
    values: list[float], zero: bool
) -> None:
    values += [0.0] * zero
    scale = fitting(values, [], 10.0, 90.0)
    places = [scale.place(value) for value in sorted(values)]

    assert places == sorted(places)
    assert all(10.0 < place < 90.0 for place in places)
    assert 1 <= len(scale.ticks()) <= 14
    assert all(10.0 <= scale.place(tick) <= 90.0 for tick in scale.ticks())


@given(FIGURES)
def test_ticks_of_a_log_scale_are_round(values: list[float]) -> None:
    ticks = around(values, 10.0, 90.0).ticks()

    assert ticks
    assert all(math.isclose(float(f"{tick:.0e}"), tick) for tick in ticks)


def test_ticks_of_a_linear_scale_are_as_few_as_a_reader_needs() -> None:
    for top in (0.7, 1, 23, 99, 118, 4567):
        ticks = fitting([0.0, top], [], 0, 1).ticks()
        assert ticks[0] == 0
        assert 3 <= len(ticks) <= 7
        assert ticks[-1] >= 0.6 * top
