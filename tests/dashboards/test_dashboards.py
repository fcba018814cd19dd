"""Dashboards as Grafana loads them: generated, linted, and a violation of each lint rule."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards import catalogue
from dashboards.catalogue import DASHBOARDS
from dashboards.grafana_json import DATASOURCE, FOLDER, TAG, as_json
from tests.support import dashboard_rules as rules
from tests.support.dashboard_rules import RULES, Json, panels
from tests.support.known_metrics import ROOT, Known, known

Break = Callable[[Json], None]
PROVISIONING = ROOT / "dashboards" / "provisioning"
COMMITTED = sorted((ROOT / "dashboards" / "grafana").glob("*.json"))


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Known]:
    return known(tmp_path_factory.mktemp("control"))


def committed(path: Path) -> Json:
    found: Json = json.loads(path.read_text(encoding="utf-8"))
    return found


def provisioned(name: str) -> Json:
    found: Json = yaml.safe_load((PROVISIONING / name).read_text(encoding="utf-8"))
    return found


# --- what is committed -------------------------------------------------------------------------


def test_the_committed_files_are_what_the_generator_writes() -> None:
    written = {path: path.read_text(encoding="utf-8") for path in COMMITTED}
    assert written == catalogue.files(), "run python -m dashboards, and commit what it wrote"


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_dashboard_keeps_each_rule(
    path: Path, rule: Callable[..., Any], metrics: dict[str, Known]
) -> None:
    assert list(rule(committed(path), metrics)) == []


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.name)
def test_every_panel_has_a_query_that_always_has_data(dashboard: Any) -> None:
    for panel in dashboard.panels:
        if panel.kind == "text":
            continue
        assert any(query.only_while is None for query in panel.queries), panel.title


def test_dashboards_link_to_each_other_and_to_the_chaos_page() -> None:
    for path in COMMITTED:
        dashboard = committed(path)
        assert dashboard["tags"] == [TAG]
        assert [
            link.get("tags") for link in dashboard["links"] if link["type"] == "dashboards"
        ] == [[TAG]]
        assert "${locust}/chaos" in [link.get("url") for link in dashboard["links"]]


def test_the_variable_part_offers_the_parts_that_a_dashboard_is_about(
    metrics: dict[str, Known],
) -> None:
    for dashboard in DASHBOARDS:
        part, *_ = as_json(dashboard)["templating"]["list"]
        assert part["name"] == "part"
        assert part["query"]["query"] == f"label_values({dashboard.parts}, part)"
        assert dashboard.parts in metrics


# --- what Grafana is given besides -------------------------------------------------------------


def test_the_data_source_is_the_one_that_every_panel_names() -> None:
    (source,) = provisioned("datasources/prometheus.yml")["datasources"]
    assert source["uid"] == DATASOURCE
    assert source["type"] == "prometheus"
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == "1s"
    assert source["editable"] is False


def test_the_folder_is_fixed_and_nobody_edits_in_the_browser() -> None:
    (provider,) = provisioned("dashboards/linkstorm.yml")["providers"]
    assert provider["folderUid"] == FOLDER
    assert provider["allowUiUpdates"] is False
    assert {path.name for path in COMMITTED} == {path.name for path in catalogue.files()}


# --- each rule bites ---------------------------------------------------------------------------


def setting(*keys: Any, to: Any) -> Break:
    """Break the first panel: `setting("title", to="")`."""

    def broken(dashboard: Json) -> None:
        at: Any = panels(dashboard)[0]
        for key in keys[:-1]:
            at = at[key]
        at[keys[-1]] = to

    return broken


def asking(expr: str) -> Break:
    return setting("targets", 0, "expr", to=expr)


def twice(dashboard: Json) -> None:
    again = copy.deepcopy(panels(dashboard)[0])
    again["title"] = "The same in other words"
    again["gridPos"]["y"] += 1000
    dashboard["panels"].append(again)


def unshaded(dashboard: Json) -> None:
    dashboard["annotations"]["list"][1]["enable"] = False


BREAKS: list[tuple[Callable[..., Any], Break]] = [
    (rules.says_what_it_shows, setting("title", to="")),
    (rules.says_what_it_shows, setting("description", to="Requests.")),
    (rules.has_a_unit, setting("fieldConfig", "defaults", to={})),
    (rules.names_its_series, setting("targets", 0, "legendFormat", to="")),
    (
        rules.keeps_to_the_palette,
        setting("fieldConfig", "defaults", "color", to={"mode": "fixed", "fixedColor": "#00ff00"}),
    ),
    (rules.shows_nothing_twice, twice),
    (rules.fits_on_the_grid, setting("gridPos", to={"x": 20, "y": 1, "w": 8, "h": 1})),
    (rules.fits_on_the_grid, setting("gridPos", to={"x": 0, "y": 1, "w": 8, "h": 9})),
    (rules.shades_fault_windows, unshaded),
    (rules.asks_our_data_source, setting("datasource", "uid", to="mine")),
    (rules.asks_our_data_source, setting("targets", 0, "datasource", to=None)),
    (rules.parses, asking("sum by (route (up)")),
    (rules.knows_its_metrics, asking("sum(shortener_redirects)")),
    (rules.matches_labels_that_exist, asking('sum(shortener_pool_connections{state="free"})')),
    (rules.takes_rates_of_counters_only, asking("sum(shortener_clicks_total)")),
    (rules.takes_rates_of_counters_only, asking("rate(shortener_requests_in_flight[4s])")),
    (rules.takes_rates_of_counters_only, asking("sum(shortener_request_seconds_bucket)")),
    (rules.leaves_the_window_to_grafana, asking("rate(shortener_clicks_total[1m])")),
    (rules.leaves_the_window_to_grafana, asking("rate(shortener_clicks_total[$__interval])")),
    (rules.asks_as_often_as_is_scraped, asking("redis_connected_clients")),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "broken"), BREAKS)
def test_a_rule_finds_the_panel_that_breaks_it(
    rule: Callable[..., Any], broken: Break, metrics: dict[str, Known]
) -> None:
    dashboard = committed(ROOT / "dashboards" / "grafana" / "overview.json")
    assert list(rule(dashboard, metrics)) == []
    broken(dashboard)
    assert list(rule(dashboard, metrics))


def test_every_rule_is_shown_to_bite() -> None:
    assert {rule for rule, _ in BREAKS} == set(RULES)
