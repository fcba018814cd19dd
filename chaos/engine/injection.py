"""Injection of one fault into a running stack, with proof of its effect and of its healing."""

from __future__ import annotations

from dataclasses import asdict

from chaos.model.evidence import Reading
from chaos.model.experiment import Fault
from chaos.model.lab import Clock
from chaos.model.stack import Stack, StackError
from chaos.record.writer import RecordWriter


class Injection:
    """A fault that is in force from construction until `heal`."""

    def __init__(
        self, fault: Fault, arm: str, stack: Stack, writer: RecordWriter, clock: Clock
    ) -> None:
        """Probe the healthy stack, then inject.

        Raises:
            StackError: the stack is not able to do it.
        """
        if fault.needs not in stack.can:
            raise StackError(f"{fault.name}: this stack cannot do {fault.needs!r}")
        self._fault, self._arm = fault, arm
        self._stack, self._writer, self._clock = stack, writer, clock
        self._before = self._probe()
        self._during: Reading | None = None
        self._injected_s = clock.now_s()
        self._undo = fault.inject(stack)
        writer.event("injected", fault=fault.name, arm=arm)

    def probe(self) -> None:
        """Measure its effect; only the first call does."""
        if self._during is None:
            self._during = self._probe()

    def heal(self) -> None:
        """Undo it, measure again, and record all three readings."""
        self._undo()
        healed_s = self._clock.now_s()
        self._writer.event("healed", fault=self._fault.name, arm=self._arm)
        before, during, after = self._before, self._during, self._probe()
        self._writer.event(
            "fault",
            fault=self._fault.name,
            arm=self._arm,
            injected_s=self._injected_s,
            healed_s=healed_s,
            before=before and asdict(before),
            during=during and asdict(during),
            after=after and asdict(after),
            took_effect=bool(before and during and self._fault.took_effect(before, during)),
            healed=bool(before and after and self._fault.healed(before, after)),
        )

    def _probe(self) -> Reading | None:
        """Take a reading; None if the probe failed, which leaves the fault unproven."""
        try:
            return self._fault.probe(self._stack)
        except Exception:
            return None
