"""All dashboards, and the files that Grafana loads them from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dashboards import data_tier, experiments, grafana_json, lab_dashboard, overview

GENERAL = (overview.dashboard, data_tier.dashboard, lab_dashboard.dashboard)
DASHBOARDS = (*GENERAL, *experiments.pages())
FOLDER = Path(__file__).parent / "grafana"


def files() -> Mapping[Path, str]:
    """The content of each file."""
    return {
        FOLDER / f"{dashboard.name}.json": grafana_json.text(dashboard) for dashboard in DASHBOARDS
    }
