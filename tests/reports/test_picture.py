"""The picture: one SVG that answers the question, for a README and for the report."""

from __future__ import annotations

import math
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.log_scale import around
from reports.picture import picture
from tests.support.results import result_with

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
    assert "direct (naive): 29.0 [25.0, 32.8], theory 27.7." in " ".join(description.split())
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


@given(st.lists(st.floats(1e-3, 1e9), max_size=6))
def test_a_scale_holds_all_its_values_in_their_order_and_marks_round_ones(
    values: list[float],
) -> None:
    scale = around(values, 10.0, 90.0)
    places = [scale.place(value) for value in sorted(values)]

    assert places == sorted(places)
    assert all(10.0 < place < 90.0 for place in places)
    assert scale.ticks()
    assert all(math.isclose(float(f"{tick:.0e}"), tick) for tick in scale.ticks())
