"""What it means that a check of the run does not hold, in plain words, and what to do about it.

A check is worded as what should hold; no reader should have to turn that round.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from reports.formatting import Json

NUMBER = re.compile(r"\d+")
ALONE = "end other work on this machine, and run it again"
AGAIN = "run it again; if it stays so, linkstorm itself is at fault, and `logs/` in the run tells"
NEARER = "run it again without `--set`, or with settings nearer to the experiment's own"
ON_TIME = "the generator was on time"


@dataclass(frozen=True)
class FailedCheck:
    """A check that does not hold: what that means, and what to do."""

    means: str
    do: str = AGAIN


def broken(text: str, result: Json) -> FailedCheck | None:
    """What is to be said of the check that is worded so; nothing of a claim."""
    if text == ON_TIME and result["generator"].get("no_socket"):
        return EXHAUSTED
    return BROKEN.get(NUMBER.sub("…", text))


EXHAUSTED = FailedCheck(
    "the load generator had no socket, port or file descriptor left for some requests, so this"
    " says nothing about the stack",
    "raise its limit (`ulimit -n`) or end what holds many connections here, and run it again",
)
BROKEN: Mapping[str, FailedCheck] = {
    ON_TIME: FailedCheck(
        "the machine was too busy for these numbers to mean anything: more than 1 % of an arm's"
        " requests left over 10 ms late, or some not at all",
        ALONE,
    ),
    "the run came to its end": FailedCheck(
        "the run stopped before its end", "mend what it stopped for, and run it again"
    ),
    "every request sent is on record": FailedCheck(
        "requests that were due were not sent, or the record does not hold just those that were"
    ),
    "every request on record can be true": FailedCheck(
        "the record holds requests that cannot be true"
    ),
    "every look-up falls into a request for its key": FailedCheck(
        "databases were asked while nobody waited for the answer, so clocks or logs are wrong"
    ),
    "every reader of a link saw the same version": FailedCheck(
        "readers saw several versions of a link that nobody had edited"
    ),
    "the traffic was the planned one": FailedCheck(
        "there were far more or fewer requests than planned, in all or for the hot key"
    ),
    "the control without faults is healthy": FailedCheck(
        "without any fault requests failed already, or none was made: then what fails later need"
        " not be the fault's doing"
    ),
    "every fault took effect and was healed": FailedCheck(
        "a fault did not take effect when it should have, or stayed: then it is not what was"
        " measured"
    ),
    "Postgres and the app count the same origin queries": FailedCheck(
        "Postgres and the app do not agree how often a database was asked, or none was",
        "run it again without `--set`, and leave the lab's databases alone meanwhile",
    ),
    "Redis was watched throughout": FailedCheck(
        "Redis was not watched all the time, so its commands are not all counted", ALONE
    ),
    "no web process died unplanned": FailedCheck(
        "a web process died that no fault had killed", "`logs/` in the run tells why it died"
    ),
    "nobody else used the lab": FailedCheck(
        "the web processes did not answer just the load generator's requests, but more or fewer",
        "leave the lab alone while it measures (its Locust page, too), and run it again",
    ),
    "every arm saw at least … expiries": FailedCheck(
        "too few expiries in an arm to judge it by",
        NEARER,
    ),
    "every acknowledged click is counted exactly once": FailedCheck(
        "clicks are lost, counted twice or made up, or were not read back at all"
    ),
    "the run was the experiment's, from plan to end": FailedCheck(
        "the run on record is not the one that this linkstorm's experiment asks for",
        "run it again: another version has made it, or it was changed since",
    ),
    "every measure of every arm has a figure": FailedCheck(
        "there is nothing to compare: a measure of an arm has no figure",
        NEARER,
    ),
}
