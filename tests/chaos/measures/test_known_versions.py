"""Look-ups of versions in groups, each against the obvious loop."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from chaos.measures.known_versions import NONE, Known, earliest, nth, pairs
from chaos.model.evidence import Floats, Ints

GROUPS = 3
TIMES = st.sampled_from([-math.inf, 0.0, 1.0, 2.0, 3.0])
ROWS = st.lists(st.tuples(st.integers(0, GROUPS - 1), st.integers(0, 4), TIMES), max_size=12)
Rows = list[tuple[int, int, float]]


def columns(rows: Rows) -> tuple[Ints, Ints, Floats]:
    return (
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=np.float64),
    )


@given(ROWS, ROWS)
def test_the_highest_version_before_a_moment(rows: Rows, asked: Rows) -> None:
    group, _, before_s = columns(asked)
    found = Known(*columns(rows)).highest_before(group, before_s)
    for place, (of_group, _, until_s) in zip(found, asked, strict=True):
        known = [(v, -t) for g, v, t in rows if g == of_group and t < until_s]
        if place == NONE:
            assert known == []
        else:
            g, v, t = rows[place]
            assert g == of_group
            assert (v, -t) == max(known)


@given(ROWS, ROWS)
def test_the_first_moment_of_a_higher_version(rows: Rows, asked: Rows) -> None:
    group, version, _ = columns(asked)
    found = Known(*columns(rows)).first_beyond(group, version)
    assert found.tolist() == [
        min((t for g, v, t in rows if g == of_group and v > than), default=math.inf)
        for of_group, than, _ in asked
    ]


@given(ROWS)
def test_the_earliest_moment_of_a_group(rows: Rows) -> None:
    group, _, t_s = columns(rows)
    assert earliest(group, t_s, GROUPS).tolist() == [
        min((t for g, _, t in rows if g == of_group), default=math.inf)
        for of_group in range(GROUPS)
    ]


@given(ROWS, ROWS)
def test_the_nth_moment_of_a_group(rows: Rows, asked: Rows) -> None:
    group, _, t_s = columns(rows)
    of_group, number, _ = columns(asked)
    expected = []
    for wanted, place, _ in asked:
        own = sorted(t for g, _, t in rows if g == wanted)
        expected.append(own[place - 1] if 1 <= place <= len(own) else math.inf)
    assert nth(group, t_s, of_group, number).tolist() == expected


@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(-(2**62), 2**62)), max_size=9))
def test_equal_pairs_have_equal_numbers(values: list[tuple[int, int]]) -> None:
    first = np.array([pair[0] for pair in values], dtype=np.int64)
    second = np.array([pair[1] for pair in values], dtype=np.int64)
    numbers = pairs(first, second).tolist()
    assert len(set(zip(values, numbers, strict=True))) == len(set(values)) == len(set(numbers))
