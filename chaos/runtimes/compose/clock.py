"""Whether containers and this process read the same monotonic clock: the record rests on it."""

from __future__ import annotations

import time

from chaos.model.stack import StackError
from chaos.runtimes.compose.containers import Containers

TELL = "import time; print(time.monotonic())"
LEEWAY_S = 0.02


def check_clock(containers: Containers, part: str) -> None:
    """Let a container read its clock between two readings of ours.

    Raises:
        StackError: the containers run on another kernel than this process.
    """
    before_s = time.monotonic()
    theirs_s = float(containers.ask(part, "python", "-Sc", TELL))
    after_s = time.monotonic()
    if not before_s - LEEWAY_S <= theirs_s <= after_s + LEEWAY_S:
        raise StackError(
            "the containers have another clock than this process, as they run in a virtual machine "
            "or on another host: start experiments from the Chaos page, whose runs are there, too"
        )
