"""Locust's idea of how many users there are: one crowd in each process, for the run time."""

from __future__ import annotations

from argparse import Namespace

from locust import LoadTestShape
from locust.runners import MasterRunner

SPAWN_PER_S = 90.0


class OneCrowdEach(LoadTestShape):
    """Keeps the users field of the page from meaning anything, and the page's Edit useful."""

    abstract = True  # set by hand: as a class of its own Locust would use it without a page too
    use_common_options = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._options: Namespace | None = None
        self._edits = 0

    def tick(self) -> tuple[int, float] | None:
        """Asked every second; another spawn rate makes the master pass edited options on."""
        assert self.runner is not None
        options = self.runner.environment.parsed_options
        assert options is not None
        ran_s: float = self.get_run_time()  # type: ignore[no-untyped-call]
        if self.runner.exceptions or (options.run_time and ran_s > options.run_time):
            return None
        now = Namespace(**vars(options))
        if self._options is not None and now != self._options:
            self._edits += 1
        self._options = now
        crowds = self.runner.worker_count if isinstance(self.runner, MasterRunner) else 1
        return max(crowds, 1), SPAWN_PER_S + self._edits % 2
