"""Locust's load shape: one user in each process, for the run time."""

from __future__ import annotations

from argparse import Namespace

from locust import LoadTestShape
from locust.runners import STATE_INIT, STATE_STOPPED, MasterRunner

SPAWN_PER_S = 90.0


class OpenLoopShape(LoadTestShape):
    """Makes Locust ignore the users field of its page, and pass on every edit of the form."""

    abstract = True  # else Locust would find and use it without a page, too
    use_common_options = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._options: Namespace | None = None
        self._edits = 0

    def end_failed_test(self) -> None:
        """End a failed test: while its shape runs, Locust takes a start for an edit of it."""
        runner = self.runner
        assert runner is not None
        if runner.exceptions:
            runner.stop()
        if runner.state == STATE_STOPPED and runner.shape_greenlet is not None:
            runner.shape_greenlet.kill()
            runner.shape_greenlet = runner.shape_last_tick = None

    def tick(self) -> tuple[int, float] | None:
        """Locust calls this every second; a new spawn rate makes the master send edited options."""
        assert self.runner is not None
        options = self.runner.environment.parsed_options
        assert options is not None
        ran_s: float = self.get_run_time()  # type: ignore[no-untyped-call]
        begun = self.runner.state != STATE_INIT  # until then the exceptions are the last test's
        failed = begun and self.runner.exceptions
        if failed or (options.run_time and ran_s > options.run_time):
            return None
        now = Namespace(**vars(options))
        if self._options is not None and now != self._options:
            self._edits += 1
        self._options = now
        processes = self.runner.worker_count if isinstance(self.runner, MasterRunner) else 1
        return max(processes, 1), SPAWN_PER_S + self._edits % 2
