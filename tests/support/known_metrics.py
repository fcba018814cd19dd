"""Every metric that a panel may use: our own from the code, the exporters' from a recording."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from chaos.control.control_metrics import exposition
from chaos.control.lab_control import LabControl
from chaos.control.messages import RunFault, RunStatus
from chaos.engine.server_watch import Standing
from chaos.model.stack import ServerName
from chaos.toxiproxy.byte_metrics import ProxyBytes
from chaos.toxiproxy.proxies import ProxyRegistry
from scenarios.generator.live_metrics import LiveMetricsCollector
from stack.shortener.clicks.outbox import OutboxRelay
from stack.shortener.clicks.stream_reader import StreamLag
from stack.shortener.clicks.worker import Worker
from stack.shortener.infra.breaker import Breaker, breaker_states
from stack.shortener.infra.database import Database, pool_families
from stack.shortener.infra.metrics import Metrics
from stack.shortener.redirect.fills.base import zero_served
from tests.support.fake_stack import FakeStack, World

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "dashboards" / "prometheus"
RECORDED = Path(__file__).parent / "recorded" / "exporters.txt"
OF_TARGETS = {"job", "instance", "part"}


@dataclass
class Known:
    """A metric: its type, and the labels that its series had, with their values."""

    kind: str
    labels: dict[str, set[str]] = field(default_factory=dict)
    ours: bool = True


def known(tmp_path: Path) -> dict[str, Known]:
    """All of them by name."""
    found = {"up": Known("gauge")}
    for family in _ours(tmp_path):
        for sample in family.samples:
            kind = "counter" if family.type == "histogram" else family.type
            metric = found.setdefault(sample.name, Known(kind))
            for label, value in sample.labels.items():
                metric.labels.setdefault(label, set()).add(value)
    return (
        found
        | {rule["record"]: Known("gauge", ours=False) for rule in _recorded_by_rules()}
        | {name: Known(kind, ours=False) for name, kind in _recorded_from_exporters()}
    )


def _ours(tmp_path: Path) -> Iterator[Metric]:
    nothing: Any = None
    yield from Metrics(served=zero_served()).families()
    databases = [Database(name, "", 1, 1.0, []) for name in ("replica", "primary")]
    yield from pool_families(*databases)
    yield breaker_states(*(Breaker(of, 1, 1.0, nothing) for of in ("cache", "replica", "primary")))
    yield from Worker(nothing, nothing, nothing).families()
    yield from OutboxRelay(nothing, nothing, nothing, 1.0, 0.1).families()
    yield from StreamLag(nothing, 1.0).families()
    yield from LiveMetricsCollector(lambda: []).collect()
    directions = ("upstream", "downstream")
    where = ("cache", "[::]:6380", "redis:6379")
    traffic = Counter((what, way, *where) for what in ("received", "sent") for way in directions)
    yield from ProxyBytes(ProxyRegistry(traffic=traffic)).collect()
    yield from _control(tmp_path)


def _control(tmp_path: Path) -> Iterable[Metric]:
    """Metrics of a lab with a fault in force, a run in progress, and a recorded run."""
    (tmp_path / "a-run").mkdir()
    result = '{"experiment": "thundering-herd", "verdict": "PASS"}'
    (tmp_path / "a-run" / "verdict.json").write_text(result, encoding="utf-8")
    world = World(logs=tmp_path)
    control = _Answering(
        FakeStack(world), "fake", tmp_path, world.clock, [sys.executable, "-c", ""]
    )
    control.claim("1")
    fault = RunFault(name="replica link +120 ms", since="2026-01-01T00:00:00Z")
    control.update(
        RunStatus(run="1", experiment="thundering-herd", what="direct", faults=[fault], metrics="")
    )
    return text_string_to_metric_families(exposition(control).decode())


class _Answering(LabControl):
    """Its servers answer, which those of a fake stack cannot."""

    def standings(self) -> Mapping[ServerName, Standing]:
        return {"postgres-1": Standing(True, 1, 1e7), "postgres-2": Standing(False, 1, 1e7)}


def _recorded_by_rules() -> Iterator[dict[str, Any]]:
    rules = yaml.safe_load((PROMETHEUS / "rules.yml").read_text(encoding="utf-8"))
    for group in rules["groups"]:
        yield from (rule for rule in group["rules"] if "record" in rule)


def _recorded_from_exporters() -> Iterator[tuple[str, str]]:
    for line in RECORDED.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, kind = line.split()
            yield name, kind
