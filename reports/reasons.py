"""Why a run did not pass, in plain words: what failed, and what could not be shown at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.broken import broken
from reports.formatting import Json, clean

MEANING = {
    "PASS": "every claim held, and the run can be trusted",
    "FAIL": "the run can be trusted, and a claim did not hold",
    "INVALID": "the run proves nothing either way",
}


@dataclass(frozen=True)
class Reason:
    """One finding that is not a PASS: what is wrong, what was observed, and what to do."""

    verdict: str
    text: str  # the finding's own, which says what should hold
    observed: str
    sentence: str
    advice: str = ""


def reasons(result: Json) -> list[Reason]:
    """Failures first, then what the run rests on and could not show, then what that left open.

    A run that stopped early has data for little; then only its failures are listed one by one,
    for `result["trouble"]` already says why.
    """
    claims, checks = result["claims"], result["checks"]
    failed = [finding for finding in [*claims, *checks] if finding["verdict"] == "FAIL"]
    open_ = [finding for finding in [*checks, *claims] if finding["verdict"] == "INVALID"]
    return [
        reason(finding, result) for finding in (failed if result["trouble"] else failed + open_)
    ]


def reason(finding: Json, result: Json) -> Reason:
    """Why a finding is no PASS, said as what does not hold."""
    text, observed = clean(finding["text"]), clean(finding["observed"])
    if known := broken(text, result):
        return Reason(finding["verdict"], text, observed, known.means, known.do)
    naive = [arm["name"] for arm in result["arms"] if arm["naive"]]
    if finding["verdict"] == "FAIL":
        sentence = f"failed: {text}"
    elif finding["arm"] in naive:
        sentence = f"the failure did not show, so there was nothing to fix; wanted: {text}"
    else:
        sentence = f"could not be judged: {text}"
    return Reason(finding["verdict"], text, observed, sentence)


def advice(result: Json) -> list[str]:
    """What to do about it, each thing once."""
    return [*dict.fromkeys(reason.advice for reason in reasons(result) if reason.advice)]


def undecided(result: Json) -> str:
    """How much of a run that stopped early stays open."""
    findings: Sequence[Json] = [*result["claims"], *result["checks"]]
    count = sum(finding["verdict"] == "INVALID" for finding in findings)
    return f"{count} of {len(findings)} claims and checks could not be judged"
