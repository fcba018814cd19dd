"""Reasons why a run did not pass, in plain words, with advice.

A check is worded as what should hold; here each has its opposite, for the reader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chaos.model.evidence import INCONCLUSIVE
from reports.formatting import Json, clean

NOT_ASKED = "not asked, since an arm was left out"
MEANING = {
    "PASS": "every claim held, and the run can be trusted",
    "FAIL": "the run can be trusted, and a claim did not hold",
    "INVALID": "the run proves nothing either way",
}


@dataclass(frozen=True)
class Reason:
    """A finding that is not a PASS: what is wrong, what was observed, and what to do."""

    verdict: str
    text: str  # the finding's own text: what should hold
    observed: str
    sentence: str
    advice: str = ""


def reasons(result: Json) -> list[Reason]:
    """Failures first, then INVALID checks, then INVALID claims.

    A run that stopped early lists only failures: `result["trouble"]` gives the cause of the rest.
    """
    claims, checks = result["claims"], result["checks"]
    failed = [finding for finding in [*claims, *checks] if finding["verdict"] == "FAIL"]
    open_ = [finding for finding in [*checks, *claims] if finding["verdict"] == "INVALID"]
    return [
        reason(finding, result) for finding in (failed if result["trouble"] else failed + open_)
    ]


def reason(finding: Json, result: Json) -> Reason:
    """The reason why a finding is no PASS."""
    text, observed = clean(finding["text"]), clean(finding["observed"])
    if known := _failed_check(text, result):
        return Reason(finding["verdict"], text, observed, known.means, known.do)
    naive = [arm["name"] for arm in result["arms"] if arm["naive"]]
    if finding["verdict"] == "INVALID" and observed.startswith(INCONCLUSIVE):
        sentence = f"undecided after the last round that is allowed: {text}"
        return Reason(finding["verdict"], text, observed, sentence, _more_rounds(result))
    if finding["verdict"] == "FAIL":
        sentence = f"failed: {text}"
    elif _is_decided_by_lateness(text, result):
        sentence = f"late requests decide it: {text}"
    elif finding["arms"] and set(finding["arms"]) <= set(naive):
        sentence = f"the failure did not show, so there was nothing to fix; wanted: {text}"
    else:
        sentence = f"could not be judged: {text}"
    return Reason(finding["verdict"], text, observed, sentence)


def _more_rounds(result: Json) -> str:
    if result["mode"] == "full":
        return "run it with more `--rounds`: an interval narrows as they grow"
    return "run it with `--full` (`FULL=1`): an interval narrows with the number of rounds"


def _is_decided_by_lateness(claim: str, result: Json) -> bool:
    """True for a claim that the check of the generator names."""
    found = [check for check in result["checks"] if clean(check["text"]) == ON_TIME]
    return any(f"{claim}: " in clean(check["observed"]) for check in found)


def advice(result: Json) -> list[str]:
    """All advice, each piece once."""
    return [*dict.fromkeys(reason.advice for reason in reasons(result) if reason.advice)]


def undecided(result: Json) -> str:
    """The number of findings that a run that stopped early leaves open."""
    findings: Sequence[Json] = [*result["claims"], *result["checks"]]
    count = sum(finding["verdict"] == "INVALID" for finding in findings)
    return f"{count} of {len(findings)} claims and checks could not be judged"


# --- failed checks ------------------------------------------------------------------------------

ALONE = "end other work on this machine, and run it again"
AGAIN = "run it again; if it fails again, linkstorm has a bug: see `logs/` in the run"
NEARER = "run it again without `--set`, or with settings nearer to the experiment's defaults"
ON_TIME = "the generator was on time as far as claims depend on it"
NO_FIGURE = "every measure of every arm has a figure"
TOO_FEW = "every arm saw at least "
AS_PLANNED = "the run was the experiment's, from plan to end"
SHORTENED = {"--rounds", "--segment"}


@dataclass(frozen=True)
class FailedCheck:
    """The meaning of a failed check, and the advice for it."""

    means: str
    do: str = AGAIN


def _failed_check(text: str, result: Json) -> FailedCheck | None:
    """The explanation of a failed check by its text; None for a claim."""
    if text == ON_TIME and result["generator"].get("no_socket"):
        return EXHAUSTED
    nearer = NEARER if "--set" in result["command"] else AGAIN
    if text.startswith(TOO_FEW):
        return FailedCheck(f"too few {result['event']['plural']} in an arm to judge it by", nearer)
    if text == NO_FIGURE:
        return FailedCheck("a measure of an arm has no figure to compare", nearer)
    if text == AS_PLANNED and SHORTENED & {*result["command"].replace("=", " ").split()}:
        return FailedCheck(
            "a run that is shortened only tries the experiment",
            "run it without `--rounds` and `--segment`",
        )
    return BROKEN.get(text)


EXHAUSTED = FailedCheck(
    "the load generator had no socket, port or file descriptor left for some requests, so this"
    " says nothing about the stack",
    "raise the limit (`ulimit -n`) or end processes with many connections, and run it again",
)
BROKEN: Mapping[str, FailedCheck] = {
    ON_TIME: FailedCheck(
        "the machine was too busy for these numbers to mean anything: requests that left"
        " late decide a claim, or some were not sent",
        ALONE,
    ),
    "the run came to its end": FailedCheck(
        "the run stopped before its end", "fix the error that stopped it, and run it again"
    ),
    "every request sent is on record": FailedCheck(
        "due requests were not sent, or the record does not match those that were sent"
    ),
    "every request on record can be true": FailedCheck("the record holds impossible requests"),
    "every look-up falls into a request for its key": FailedCheck(
        "databases were queried while no request waited for the answer: clocks or logs are wrong"
    ),
    "no reader saw what nobody had written": FailedCheck(
        "readers saw versions that no writer had begun by then: clocks or versions are wrong"
    ),
    "the traffic was the planned one": FailedCheck(
        "there were far more or fewer visits than planned, in all or to the most popular link"
    ),
    "the arrivals are those of the seed": FailedCheck(
        "visits came at other times or to other links than the plan's seed draws, or are missing",
        "run it again, with the versions that recorded it if numpy's differ; if it fails again,"
        " linkstorm has a bug: see `logs/` in the run",
    ),
    "what follows in a visit is what its answers ask for": FailedCheck(
        "clients did not go on, or try again, when the answers before asked them to"
    ),
    "arrivals are as random as planned": FailedCheck(
        "gaps between visits, or their links, follow another law than the planned one"
    ),
    "the control without acts is healthy": FailedCheck(
        "before anything was done to the stack requests already failed, or none was made: later"
        " failures may have another cause"
    ),
    "every act took effect and was healed": FailedCheck(
        "an act did not take effect in time, or was not healed: the run did not measure it"
    ),
    "Postgres and the app count the same look-ups": FailedCheck(
        "Postgres and the app count different numbers of look-ups, or none",
        "do not use the lab's databases while it measures, and run it again",
    ),
    "Redis counted what the app stored": FailedCheck(
        "Redis counted fewer commands than the app stored look-ups there"
    ),
    "the counters were read throughout": FailedCheck(
        "a counter was not read all the time, so what it counts is not known", ALONE
    ),
    "no part died unplanned": FailedCheck(
        "a part died that no act had stopped", "see `logs/` in the run for the cause"
    ),
    "nobody else used the lab": FailedCheck(
        "the web processes answered more or fewer requests than the load generator sent",
        "do not use the lab while it measures (nor its Locust page), and run it again",
    ),
    "all that was acknowledged is in the primary, exactly once": FailedCheck(
        "clicks, links or edits are lost, doubled or unexpected, or were not read back,"
        " or redirects named no click"
    ),
    "the record holds all that was written": FailedCheck(
        "the lab's own record lost or changed rows, so what seems lost may never have been",
        "run it again, on a disk with room; if it fails again, linkstorm has a bug",
    ),
    "the databases met only statements that are known": FailedCheck(
        "the application sent unknown statements, or more than its requests need: its"
        " look-ups may not all be counted",
        "do not use the lab while it measures; a new statement of the shortener belongs into"
        " chaos/runtimes/app_statements.py",
    ),
    "each web process answered its share": FailedCheck(
        "the balancer gave one web process far more requests than another",
        "look at nginx's configuration, and run it again",
    ),
    "every process ran with the settings of its arm": FailedCheck(
        "a process ran with other settings than its arm's, so it is not known what was measured"
    ),
    "the replica followed the primary": FailedCheck(
        "primary and replica were not what they should be, before or after a segment",
        "see `logs/` in the run for the cause",
    ),
    "every answer can come of the settings in force": FailedCheck(
        "answers say that they were served in a way that their settings rule out"
    ),
    "no cached link was looked up again before its time": FailedCheck(
        "cached links were gone before their time, so more was looked up than the arm explains"
    ),
    "every link leads where its writer said": FailedCheck(
        "visitors were sent to another page than the link's, or answers have another status",
        "keep the run: a wrong target is the gravest error there is",
    ),
    "no answer came later than its timeout": FailedCheck(
        "clients waited longer for an answer than they wait: clocks are wrong, or hung", ALONE
    ),
    "every redirect's age and source fit a look-up": FailedCheck(
        "what redirects say of their age, or where they come from, contradicts the look-ups"
    ),
    "the gateway's log has the same redirects": FailedCheck(
        "the load generator and the gateway disagree on answers, or on how long they took"
    ),
    AS_PLANNED: FailedCheck(
        "the recorded run differs from the plan of this version's experiment",
        "run it again: another version made it, or it was changed since",
    ),
    "only the planned acts were in force, each all the time": FailedCheck(
        "a toxic, a cut or a stopped part was there that no act had planned, or one that was"
        " planned was not there all the time",
        "do not touch the lab while it measures (nor its Chaos page), and run it again",
    ),
    "all that an act should touch was touched by it": FailedCheck(
        "look-ups, requests or samples went on as if an act were not in force"
    ),
    "what no act touches was as quick as in the control": FailedCheck(
        "look-ups or redirects that no act touches were slower than in the control", ALONE
    ),
    "the control without acts was quick": FailedCheck(
        "redirects were slow, or requests were left over, before anything was done to the stack",
        ALONE,
    ),
}
