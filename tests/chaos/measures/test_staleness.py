"""Shares of stale reads, on a history in which each read is known to be fresh or not."""

from __future__ import annotations

import math

import pytest

from chaos import measures as m
from tests.support.histories import Row, requests
from tests.support.segments import acted, segment_of

EDITED = Row("edit", 11.0, 11.1, version=2)
READS = [
    Row("follow", 10.5, 10.6, version=1),
    Row("follow", 12.0, 12.1, version=1, session=1),
    Row("follow", 12.2, 12.3, version=2, session=1),
    Row("follow", 12.4, 12.5, version=1, session=2),
    Row("follow", 12.6, 12.7, outcome="absent", session=3),
]


def test_the_share_of_stale_reads_is_of_the_reads_that_were_answered() -> None:
    own = segment_of(10, 20, requests=requests([EDITED, *READS]), acts=[acted(11.5, 13)])
    (during,), (whole,) = m.stale_share(m.during).of(own), m.stale_share().of(own)
    assert (during, whole) == (pytest.approx(75), pytest.approx(60))


def test_without_a_read_there_is_no_share() -> None:
    (share,) = m.stale_share().of(segment_of(10, 20, requests=requests([EDITED])))
    assert math.isnan(share)
