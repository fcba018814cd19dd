"""The acts of one segment: each injected and undone when it is due, with proof of its effect.

Everything that may block has its own thread, so neither a slow probe nor a hanging request delays
an act or its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, wait

from chaos.model.evidence import ActEvidence, Reading
from chaos.model.experiment import At
from chaos.model.lab import Clock
from chaos.model.stack import Stack, StackError, Undo
from chaos.record.writer import RecordWriter

ANSWERS_S = 6.0
POLL_S = 0.1


class ScheduledAct:
    """One act of a segment, probed before, during and after."""

    def __init__(self, at: At, arm: str, stack: Stack, writer: RecordWriter, clock: Clock) -> None:
        """Probe the healthy stack.

        Raises:
            StackError: the stack is not able to do it.
        """
        if at.act.needs not in stack.can:
            raise StackError(f"{at.act.name}: this stack cannot do {at.act.needs!r}")
        self.at, self._arm = at, arm
        self._act = at.act  # aimed at a role until it is injected, at a server from then on
        self._roles: Mapping[str, str] = {}
        self._stack, self._writer, self._clock = stack, writer, clock
        self._before = self._probe()
        self._during: Reading | None = None
        self._again: Reading | None = None
        self._after: Reading | None = None
        self._undo: Undo | None = None
        self._begun_s: float | None = None
        self.injected_s: float | None = None
        self._lifted_s: float | None = None
        self._healed_s: float | None = None

    def inject(self) -> None:
        """Begin it."""
        self._begun_s = self._clock.now_s()
        self._roles = {str(role): server for role, server in self._stack.roles.items()}
        self._act = self.at.act.aimed(self._stack)
        self._undo = self._act.inject(self._stack)
        self.injected_s = self._clock.now_s()
        self._writer.event("injected", act=self.at.act.name, arm=self._arm)

    def probe(self) -> None:
        """Measure its effect."""
        self._during = self._probe()

    def probe_before_the_end(self) -> None:
        """Measure its effect again."""
        self._again = self._probe()

    def lift(self) -> None:
        """Undo it, if it was injected and is not undone yet."""
        if self.injected_s is not None and self._lifted_s is None:
            self._lifted_s = self._clock.now_s()
            assert self._undo is not None
            self._undo()
            self._healed_s = self._clock.now_s()
            self._writer.event("healed", act=self.at.act.name, arm=self._arm)

    def probe_again(self) -> None:
        """Measure after it was undone.

        A probe that fails is repeated for `ANSWERS_S`, as another act may be moving the link, and
        one that is not healed for as long as the act may linger. It stays unproven after that.
        """
        undone_s = self._clock.now_s()
        while True:
            self._after = self._probe()
            patience_s = ANSWERS_S if self._after is None else self.at.act.lingers_s
            if self._healed or self._clock.now_s() >= undone_s + patience_s:
                return
            self._clock.sleep(POLL_S)

    @property
    def _healed(self) -> bool:
        before, after = self._before, self._after
        return bool(before and after and self.at.act.healed(before, after))

    def evidence(self, segment: int) -> ActEvidence:
        """All readings and what they prove; the judge knows if there should be a second one."""
        act, before, during = self.at.act, self._before, self._during
        assert self.injected_s is not None
        return ActEvidence(
            act=act.name,
            arm=self._arm,
            segment=segment,
            injected_s=self.injected_s,
            lifted_s=self._lifted_s,
            healed_s=self._healed_s,
            before=before,
            during=during,
            after=self._after,
            took_effect=bool(before and during and act.took_effect(before, during)),
            healed=self._healed,
            begun_s=self._begun_s,
            again=self._again,
            roles=self._roles,
            moments=dict(self._act.moments),
        )

    def _probe(self) -> Reading | None:
        """Take a reading; None if the probe failed, which leaves the act unproven."""
        try:
            return self._act.probe(self._stack)
        except Exception:
            return None


class SegmentTimeline:
    """All acts of a segment: `tick` begins and ends those that are due, `end` the rest."""

    def __init__(
        self,
        timeline: Sequence[At],
        arm: str,
        stack: Stack,
        writer: RecordWriter,
        clock: Clock,
        threads: Executor,
    ) -> None:
        """Probe the healthy stack for each act; raise `StackError` for one that it cannot do."""
        self._clock, self._threads = clock, threads
        scheduled = [threads.submit(ScheduledAct, at, arm, stack, writer, clock) for at in timeline]
        self._acts = [future.result() for future in scheduled]
        self._injections: dict[ScheduledAct, Future[None]] = {}
        self._ends: dict[ScheduledAct, Future[None]] = {}
        self._probes: list[Future[None]] = []
        self._probed_again: set[ScheduledAct] = set()
        self._started_s = 0.0
        self._duration_s = 0.0

    def stand(self) -> None:
        """Inject the acts of second 0, before the segment."""
        for act in self._acts:
            if act.at.second <= 0:
                self._run(self._injections, act, act.inject)
                self._injections[act].result()

    def start(self, started_s: float, duration_s: float) -> None:
        """Set the segment's first moment and length, and probe the acts that stand already."""
        self._started_s, self._duration_s = started_s, duration_s
        self._probes += [self._threads.submit(act.probe) for act in self._injections]

    def tick(self) -> None:
        """Begin and end what is due; raise what an act raised."""
        second = self._clock.now_s() - self._started_s
        for act in self._acts:
            if act not in self._injections and second >= act.at.second:
                self._run(self._injections, act, act.inject, then=act.probe)
            again = act.at.probed_again(self._duration_s)
            due = again is not None and second >= again and act.injected_s is not None
            if due and act not in self._probed_again:
                self._probed_again.add(act)
                self._probes.append(self._threads.submit(act.probe_before_the_end))
            if act.at.until_s is not None and second >= act.at.until_s:
                self._end(act)
        for future in [*self._injections.values(), *self._ends.values()]:
            if future.done():
                future.result()

    def end(self) -> None:
        """End all that is in force, the latest first and one by one; wait for the last probe."""
        for act in reversed(self._injections):
            self._end(act)
            wait([self._ends[act]])
        wait([*self._injections.values(), *self._ends.values()])  # they add the last probes
        for future in [*self._injections.values(), *self._ends.values(), *self._probes]:
            future.result()

    def evidence(self, segment: int) -> Sequence[ActEvidence]:
        """The acts that were injected, in order."""
        return [act.evidence(segment) for act in self._acts if act.injected_s is not None]

    def _end(self, act: ScheduledAct) -> None:
        if act not in self._ends:
            injection = self._injections[act]

            def lift() -> None:
                injection.exception()  # waits
                act.lift()

            self._run(self._ends, act, lift, then=act.probe_again)

    def _run(
        self,
        futures: dict[ScheduledAct, Future[None]],
        act: ScheduledAct,
        work: Callable[[], None],
        then: Callable[[], None] | None = None,
    ) -> None:
        def run() -> None:
            work()
            if then is not None:
                self._probes.append(self._threads.submit(then))

        futures[act] = self._threads.submit(run)
