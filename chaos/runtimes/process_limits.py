"""Resource limits of the lab's process: raised as far as allowed, refused if too low."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from chaos.model.stack import StackError

MB = 1 << 20


@dataclass(frozen=True)
class Need:
    """The least of a resource that a lab needs, and the amount it takes if allowed."""

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
    """Raise the limits of this process and its children as far as allowed.

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
