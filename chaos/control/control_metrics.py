"""Metrics of the lab for Prometheus: parts, links, faults, the current run, verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from chaos.control.lab_control import LabControl
from chaos.model.stack import StackError


def exposition(control: LabControl) -> bytes:
    """All metrics in the text format; the load generator's verbatim at the end."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_ControlCollector(control))
    text = generate_latest(registry)
    status = control.run_status
    generator = status.metrics.rstrip("\n") if status else ""
    return text + generator.encode() + b"\n" if generator else text


class _ControlCollector(Collector):
    def __init__(self, control: LabControl) -> None:
        self._control = control

    def collect(self) -> Iterator[Metric]:
        with suppress(StackError):  # its state is unknown then
            yield from self._stack()
        yield from self._servers()
        yield from self._faults()
        yield from self._runs()

    def _stack(self) -> Iterator[Metric]:
        state = self._control.state()
        parts, links = state.parts.items(), state.links.items()
        up = {part: now == "up" for part, now in parts}
        paused = {part: now == "paused" for part, now in parts}
        yield _gauge("part_up", "Whether it runs", "part", up)
        yield _gauge("part_paused", "Whether it is paused", "part", paused)
        is_open = {link: now.open for link, now in links}
        toxics = {link: len(now.toxics) for link, now in links}
        yield _gauge("link_open", "Whether it takes connections", "link", is_open)
        yield _gauge("toxics", "Toxics on it", "link", toxics)

    def _servers(self) -> Iterator[Metric]:
        """One that does not answer has no series."""
        told = self._control.standings().items()
        leads = {str(server): its.leads for server, its in told}
        timelines = {str(server): its.timeline for server, its in told}
        positions = {str(server): its.lsn_bytes for server, its in told}
        yield _gauge("server_leads", "1 if it is a primary by its own account", "part", leads)
        yield _gauge("server_timeline", "Timeline that it writes or follows", "part", timelines)
        yield _gauge("server_lsn_bytes", "Log that it has, up to its end", "part", positions)

    def _faults(self) -> Iterator[Metric]:
        names = {str(fault["name"]) for fault in self._control.faults}
        yield _gauge("fault_active", "In force now", "fault", dict.fromkeys(sorted(names), 1))
        number = len(names)
        yield GaugeMetricFamily("linkstorm_faults_active", "Faults in force now", value=number)

    def _runs(self) -> Iterator[Metric]:
        now = GaugeMetricFamily(
            "linkstorm_run_active", "Whether it is running", labels=["experiment", "what"]
        )
        run = self._control.current_run()
        if run is not None and run["state"] == "running":
            now.add_metric([run["experiment"], run["what"]], 1)
        yield now
        of = ["experiment", "verdict"]
        total = CounterMetricFamily("linkstorm_runs", "Runs on record", labels=of)
        for judged, times in sorted(self._control.past.verdicts().items()):
            total.add_metric(list(judged), times)
        yield total
        newest = GaugeMetricFamily("linkstorm_last_verdict", "Of the newest run", labels=of)
        for last in sorted(self._control.past.newest().items()):
            newest.add_metric(list(last), 1)
        yield newest


def _gauge(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"linkstorm_{name}", meaning, labels=[label])
    for labelled, value in values.items():
        family.add_metric([labelled], value)
    return family
