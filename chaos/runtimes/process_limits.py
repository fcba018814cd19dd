"""What the operating system lets one process have, as far as a lab needs more than little of it."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from chaos.model.stack import StackError

MB = 1 << 20


@dataclass(frozen=True)
class Need:
    """How much of something a lab cannot do without, and how much it takes if it may."""

    limit: int
    what: str
    least: int
    wanted: int
    unit: int  # of the shell's `ulimit`
    flag: str


# As many open files as any system gives by default, and as Locust would have; and one file as
# large as a run's longest, the records of millions of requests.
NEEDS = (
    Need(resource.RLIMIT_NOFILE, "open files", 1024, 10_000, 1, "-n"),
    Need(resource.RLIMIT_FSIZE, "kB in one file", 1024 * MB, 1024 * MB, 1024, "-f"),
)


def raise_limits() -> None:
    """Raise the limits of this process, and so of all that it starts, as far as it may.

    Raises:
        StackError: one is too low, and may not be raised.
    """
    for need in NEEDS:
        soft, hard = resource.getrlimit(need.limit)
        reachable = _least(need.wanted, hard)
        if reachable < need.least:
            least = need.least // need.unit
            raise StackError(
                f"this shell allows {reachable // need.unit:,} {need.what}, and a lab needs "
                f"{least:,}: raise its limit (`ulimit {need.flag} {least}`, as root if need be)"
            )
        if soft != resource.RLIM_INFINITY and soft < reachable:
            resource.setrlimit(need.limit, (reachable, hard))


def _least(wanted: int, limit: int) -> int:
    return wanted if limit == resource.RLIM_INFINITY else min(wanted, limit)
