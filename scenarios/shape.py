"""Locust's idea of how many users there are: one crowd in each process, for the run time."""

from __future__ import annotations

from argparse import Namespace

from locust import LoadTestShape
from locust.runners import STATE_INIT, STATE_STOPPED, MasterRunner

SPAWN_PER_S = 90.0


class CrowdShape(LoadTestShape):
    """Keeps the users field of the page from meaning anything, and the page's Edit useful."""

    abstract = True  # set by hand: as a class of its own Locust would use it without a page too
    use_common_options = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._options: Namespace | None = None
        self._edits = 0

    def make_way(self) -> None:
        """End a test that failed: while it is watched, Locust takes a start for an edit of it."""
        runner = self.runner
        assert runner is not None
        if runner.exceptions:
            runner.stop()
        if runner.state == STATE_STOPPED and runner.shape_greenlet is not None:
            runner.shape_greenlet.kill()
            runner.shape_greenlet = runner.shape_last_tick = None

    def tick(self) -> tuple[int, float] | None:
        """Asked every second; another spawn rate makes the master pass edited options on."""
        assert self.runner is not None
        options = self.runner.environment.parsed_options
        assert options is not None
        ran_s: float = self.get_run_time()  # type: ignore[no-untyped-call]
        begun = self.runner.state != STATE_INIT  # until then the exceptions are of the last test
        failed = begun and self.runner.exceptions
        if failed or (options.run_time and ran_s > options.run_time):
            return None
        now = Namespace(**vars(options))
        if self._options is not None and now != self._options:
            self._edits += 1
        self._options = now
        crowds = self.runner.worker_count if isinstance(self.runner, MasterRunner) else 1
        return max(crowds, 1), SPAWN_PER_S + self._edits % 2
