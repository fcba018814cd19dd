"""Prometheus's files: they scrape every part of the stack, and promtool accepts them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import promql_parser as promql
import pytest
import yaml

from chaos.runtimes.topology import ROLES, SHORTENER
from dashboards.panel_data import SCRAPES
from tests.support.dashboard_rules import RATES, uses
from tests.support.known_metrics import PROMETHEUS, known

Json = dict[str, Any]
SEVERITIES = {"critical", "warning", "info"}


def read(name: str) -> Json:
    found: Json = yaml.safe_load((PROMETHEUS / name).read_text(encoding="utf-8"))
    return found


def rules() -> list[Json]:
    return [rule for group in read("rules.yml")["groups"] for rule in group["rules"]]


def alerts() -> list[Json]:
    return [rule for rule in rules() if "alert" in rule]


def jobs() -> dict[str, Json]:
    return {job["job_name"]: job for job in read("prometheus.yml")["scrape_configs"]}


def targets(job: Json) -> list[str]:
    return [target for group in job["static_configs"] for target in group["targets"]]


def part_of(address: str, job: Json) -> str:
    """The label that relabelling gives a target, as Prometheus does it."""
    (rule,) = job["relabel_configs"]
    assert rule["target_label"] == "part"
    found = re.fullmatch(rule["regex"], address)
    assert found is not None
    return found[1]


# --- what is scraped ---------------------------------------------------------------------------


def test_everything_that_has_figures_is_scraped() -> None:
    assert {name: targets(job) for name, job in jobs().items()} == {
        "web": ["web-1:8000", "web-2:8000"],
        "worker": ["worker:8000"],
        "locust": ["locust:8089"],
        "toxiproxy": ["toxiproxy:8474"],
        "lab": ["lab:8070"],
        "postgres": ["postgres-1-exporter:9187", "postgres-2-exporter:9187"],
        "redis": ["redis-exporter:9121"],
        "prometheus": ["127.0.0.1:9090"],
    }


def test_the_label_part_is_the_name_of_the_part_that_the_figures_are_about() -> None:
    parts = [
        part_of(each, jobs()[job]) for job in ("web", "worker") for each in targets(jobs()[job])
    ]
    assert parts == list(SHORTENER)
    databases = jobs()["postgres"]
    assert [part_of(each, databases) for each in targets(databases)] == [*ROLES.values()]


def test_what_changes_within_a_second_is_read_every_second() -> None:
    every = read("prometheus.yml")["global"]["scrape_interval"]
    paces = {name: job.get("scrape_interval", every) for name, job in jobs().items()}
    slow = {"postgres", "redis", "prometheus"}
    assert paces == {name: "5s" if name in slow else "1s" for name in jobs()}


# --- what is made of it ------------------------------------------------------------------------


def test_every_alert_says_how_bad_it_is_and_what_to_look_at() -> None:
    for alert in alerts():
        assert alert["labels"]["severity"] in SEVERITIES, alert["alert"]
        assert alert["annotations"]["summary"], alert["alert"]
        assert alert["annotations"]["description"].startswith("Look at "), alert["alert"]
        assert re.fullmatch(r"\d+[sm]", alert["for"]), alert["alert"]


def test_rules_use_metrics_that_somebody_exposes(tmp_path: Any) -> None:
    metrics = known(tmp_path)
    for rule in rules():
        for selector, window, function in uses(promql.parse(rule["expr"])):
            metric = metrics[selector.name or ""]
            assert (metric.kind == "counter") == (function in RATES), rule["expr"]
            if function in RATES:
                assert window is not None
                assert window.total_seconds() >= SCRAPES, rule["expr"]


def expectations() -> Iterator[tuple[str, bool]]:
    """Each alert that a test expects to fire (true), or to be silent."""
    names = {alert["alert"] for alert in alerts()}
    for test in read("rules_test.yml")["tests"]:
        for case in test.get("alert_rule_test", []):
            yield case["alertname"], bool(case["exp_alerts"])
        for case in test.get("promql_expr_test", []):
            if "ALERTS" in case["expr"]:
                named = names & set(re.findall(r"\w+", str(case)))
                fires = bool(case["exp_samples"])
                yield from ((name, fires) for name in named or names)  # ALERTS alone: of them all


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
@pytest.mark.parametrize("fires", [True, False], ids=["fires", "is silent"])
def test_every_alert_is_tested_both_ways(alert: Json, fires: bool) -> None:
    assert (alert["alert"], fires) in set(expectations())


# --- Prometheus's own word ---------------------------------------------------------------------


def promtool(*arguments: str) -> str:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is missing: apt-get install promtool (Debian 13) or prometheus (12)")
    done = subprocess.run(
        [tool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_accepts_its_configuration_and_the_rules_in_it() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "config", "prometheus.yml")


def test_alerts_fire_when_they_should_and_are_silent_when_they_should() -> None:
    assert "SUCCESS" in promtool("test", "rules", "rules_test.yml")
