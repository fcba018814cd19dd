"""The report's caveats follow from the run."""

from __future__ import annotations

from reports.caveats import caveats
from tests.support.results import result_with


def test_repetitions_that_were_all_alike_are_not_called_certain() -> None:
    said = " ".join(caveats(result_with(), {}))

    assert "after 6 equal results up to 39% of others may differ (95 % confidence)" in said


def test_without_repetitions_nothing_is_said_of_their_likeness() -> None:
    assert "alike, up to" not in " ".join(caveats(result_with() | {"arms": []}, {}))
