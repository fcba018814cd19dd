"""Types, static files and settings of the shortener hold to the one table of the topology."""

from __future__ import annotations

import json
import re
from typing import get_args

import yaml

from chaos.model.stack import Link, PartName
from chaos.runtimes.topology import (
    LINKS,
    PARTS,
    ROLES,
    ROOT,
    SERVERS,
    SHORTENER,
    WEB,
    WORKER_SETTINGS,
    led_by,
    restarted_by,
)
from stack.shortener.settings import WebSettings, WorkerSettings

PICTURE = (ROOT / "scenarios" / "web_ui" / "static" / "picture.js").read_text(encoding="utf-8")


def keys(text: str, start: str, end: str, value: str) -> list[str]:
    """The keys in the JavaScript between two texts, those with values that begin like `value`."""
    body = text.partition(start)[2].partition(end)[0]
    return sorted(re.findall(rf'"?([a-z][a-z0-9-]*)"?: {re.escape(value)}', body))


def test_the_types_name_every_part_and_link() -> None:
    assert set(get_args(PartName)) == {*PARTS, *SERVERS}
    assert set(get_args(Link)) == set(LINKS)


def test_toxiproxy_in_containers_has_every_link() -> None:
    file = json.loads((ROOT / "stack" / "toxiproxy" / "toxiproxy.json").read_text())
    assert {proxy["name"]: (proxy["listen"], proxy["upstream"]) for proxy in file} == {
        link: (f"0.0.0.0:{to.port}", f"{part}:{PARTS[part]}")
        for (link, to), part in zip(LINKS.items(), led_by(ROLES).values(), strict=True)
    }


def test_the_picture_of_the_chaos_page_shows_every_part_and_link() -> None:
    assert keys(PICTURE, "PARTS = {", "\n};", "{") == sorted(PARTS)
    assert keys(PICTURE, "LINKS = {", "\n};", '"') == sorted(LINKS)
    drawings = re.findall(r"const (?:WIDE|NARROW) = \{.*?\n\};", PICTURE, re.DOTALL)
    assert len(drawings) == 2
    for drawing in drawings:
        assert keys(drawing, "boxes: {", "},", "[") == sorted([*PARTS, "traffic"])
        assert keys(drawing, "links: {", "},", "[") == sorted(LINKS)
    ends = re.findall(r'"?([a-z-]+)"?: \[\[.*?\], "([a-z0-9-]+)"\]', PICTURE)
    assert dict(ends) == {
        link: part for link, part in led_by(ROLES).items() if link != "replication"
    }


def test_prometheus_scrapes_parts_at_their_ports() -> None:
    file = yaml.safe_load((ROOT / "dashboards" / "prometheus" / "prometheus.yml").read_text())
    groups = [group for job in file["scrape_configs"] for group in job["static_configs"]]
    targets = [target for group in groups for target in group["targets"]]
    of_parts = [target for target in targets if target.partition(":")[0] in PARTS]
    assert of_parts == [f"{part}:{PARTS[part]}" for part in (*SHORTENER, "toxiproxy")]


def test_only_a_setting_of_the_worker_restarts_it() -> None:
    assert {name.upper() for name in WorkerSettings.model_fields} == WORKER_SETTINGS
    for name in {name.upper() for name in WebSettings.model_fields} - WORKER_SETTINGS:
        assert restarted_by({}, {name: "1"}) == WEB


def test_the_table_of_links_knows_where_each_leads_first() -> None:
    assert led_by(ROLES).keys() == LINKS.keys()
    assert "replica" not in led_by({"primary": "postgres-2"})
