"""Doubt: the arms that need further rounds, judged from the record of an unfinished run.

Each reason is a function of the evidence so far that names arms and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from chaos.judge.claims import asked
from chaos.judge.control_checks import why_again
from chaos.judge.lateness import disturbed
from chaos.judge.rows import claimed, rows_of
from chaos.model.evidence import CONTROL, Evidence
from chaos.model.experiment import Experiment

Reason = Callable[[Experiment, Evidence], Mapping[str, str]]


def undecided(experiment: Experiment, evidence: Evidence) -> Mapping[str, str]:
    """The arms of each inconclusive claim, those that it compares with included.

    What is read back from the primary is not known yet: claims about it ask for nothing.
    """
    due, _ = asked(experiment, evidence)
    rows = rows_of(experiment, evidence)
    doubts: dict[str, list[str]] = {}
    for claim in due:
        if claimed(claim, rows).inconclusive:
            for arm in claim.arms_of(rows):
                doubts.setdefault(arm, []).extend(measure.title for measure in claim.measures)
    return {arm: f"undecided: {', '.join(dict.fromkeys(own))}" for arm, own in doubts.items()}


def disturbed_by_lateness(experiment: Experiment, evidence: Evidence) -> Mapping[str, str]:
    """The arms whose late requests decide a claim."""
    return dict.fromkeys(disturbed(experiment, evidence), "disturbed by late requests")


REASONS: Sequence[Reason] = (undecided, disturbed_by_lateness)


def arms_in_doubt(experiment: Experiment, evidence: Evidence) -> Mapping[str, str]:
    """The arms of the run that need further rounds, and why; before the first, only the control
    can need another try."""
    if not evidence.segments:
        return _control_in_doubt(evidence)
    found: dict[str, list[str]] = {}
    for reason in REASONS:
        for arm, why in reason(experiment, evidence).items():
            if arm in evidence.plan["arms"]:
                found.setdefault(arm, []).append(why)
    return {arm: "; ".join(why) for arm, why in found.items()}


def _control_in_doubt(evidence: Evidence) -> Mapping[str, str]:
    why = why_again(evidence.control)
    return {CONTROL: why} if why else {}
