"""All dashboards, and the files that Grafana loads them from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dashboards import grafana_json, data_tier, lab_dashboard, overview

DASHBOARDS = (overview.dashboard, data_tier.dashboard, lab_dashboard.dashboard)
FOLDER = Path(__file__).parent / "grafana"


def files() -> Mapping[Path, str]:
    """What each file should hold."""
    return {FOLDER / f"{dashboard.name}.json": grafana_json.text(dashboard) for dashboard in DASHBOARDS}
