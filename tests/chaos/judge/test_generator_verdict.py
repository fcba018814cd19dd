"""The resources that the generator ran out of are named in the reasons of the verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaos.engine.run import run
from chaos.judge.lateness import generator_was_on_time, weighed
from chaos.judge.rows import rows_of
from chaos.model.evidence import Evidence, Generator, Verdict
from chaos.record.reader import read_evidence
from tests.support.fake_stack import World, herd_order, lab


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    directory = tmp_path_factory.mktemp("generator") / "run"
    world = World()
    run(herd_order(world), lab(world), directory, lambda *_: None)
    return read_evidence(directory)


def told(evidence: Evidence, **change: float) -> tuple[Verdict, str]:
    """The check with other figures of the generator of the first segment."""
    first, *others = evidence.segments
    generator = replace(first.generator, **change)  # type: ignore[arg-type]
    changed = replace(evidence, segments=[replace(first, generator=generator), *others])
    herd = herd_order(World()).experiment
    finding = generator_was_on_time(changed, weighed(herd, changed, rows_of(herd, changed)))
    return finding.verdict, finding.observed


def test_a_generator_without_sockets_is_named(sound: Evidence) -> None:
    verdict, observed = told(sound, unsent=7, no_socket=5)
    assert verdict is Verdict.INVALID
    assert "7 unsent, 5 of them for want of a socket or file descriptor" in observed


def test_a_generator_whose_core_is_full_is_named(sound: Evidence) -> None:
    verdict, observed = told(sound, late=10**6, cpu_share=0.98)
    assert verdict is Verdict.INVALID
    assert "the generator's process used 98% of a core" in observed


def test_a_full_core_that_made_nothing_late_is_no_reproach(sound: Evidence) -> None:
    verdict, observed = told(sound, cpu_share=0.98)
    assert verdict is Verdict.PASS
    assert "core" not in observed


def test_generators_together_have_all_requests_and_the_worst_lag() -> None:
    one, other = Generator(10, 8, 1, 2, 0.1, 5.0, 2, 1.0, 0.3, 4), Generator(5, 5, 0, 0, 0.2, 1.0)
    both = Generator.together([one, replace(other, read_lag_p99_ms=2.0, cpu_share=0.1, visits=3)])
    assert both == Generator(15, 13, 1, 2, 0.2, 5.0, 2, 2.0, 0.3, 7)


def test_a_run_without_any_generator_claims_nothing() -> None:
    nothing = Generator.together([])
    assert nothing.offered == 0
    assert nothing.lag_p99_ms != nothing.lag_p99_ms  # NaN
