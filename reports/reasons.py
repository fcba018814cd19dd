"""Why a run did not pass, in plain words: what failed, and what could not be shown at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.words import Json, clean

MEANING = {
    "PASS": "every claim held, and the run can be trusted",
    "FAIL": "the run can be trusted, and a claim did not hold",
    "INVALID": "the run proves nothing either way",
}


@dataclass(frozen=True)
class Reason:
    """One finding that is not a PASS, as a sentence with what was observed."""

    verdict: str
    text: str
    observed: str

    @property
    def sentence(self) -> str:
        """Findings are worded as what should hold; an INVALID one could not be shown to."""
        return f"not shown: {self.text}" if self.verdict == "INVALID" else f"failed: {self.text}"


def reasons(result: Json) -> list[Reason]:
    """Failures first, then what the run rests on and could not show, then what that left open.

    A run that stopped early has data for little; then only its failures are listed one by one,
    for `result["trouble"]` already says why.
    """
    findings = [*result["claims"], *result["checks"]]
    failed = [_reason(finding) for finding in findings if finding["verdict"] == "FAIL"]
    if result["trouble"]:
        return failed
    checks = [_reason(finding) for finding in result["checks"] if finding["verdict"] == "INVALID"]
    claims = [_reason(finding) for finding in result["claims"] if finding["verdict"] == "INVALID"]
    return [*failed, *checks, *claims]


def _reason(finding: Json) -> Reason:
    return Reason(finding["verdict"], clean(finding["text"]), clean(finding["observed"]))


def undecided(result: Json) -> str:
    """How much of a run that stopped early stays open."""
    findings: Sequence[Json] = [*result["claims"], *result["checks"]]
    count = sum(finding["verdict"] == "INVALID" for finding in findings)
    return f"{count} of {len(findings)} claims and checks could not be judged"
