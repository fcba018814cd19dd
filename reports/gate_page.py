"""The page of a gate's run: one file that works offline."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports import gate_pictures as pictures
from reports.formatting import Json, clean
from reports.gate_table import MEANING, change_of, compared, remarks
from reports.palette import DARK, LIGHT, properties


def gate_page(document: Json, history: Sequence[Json]) -> str:
    """The page of a run, with the trend of its service's history."""
    environment = Environment(
        loader=PackageLoader("reports"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    entries = [entry for entry in history if entry.get("service") == document["service"]]
    trends = [pictures.trend_picture(m["name"], entries) for m in document["metrics"]]
    return environment.get_template("gate.html").render(
        document=document,
        clean=clean,
        meaning=MEANING[document["verdict"]],
        compared=compared(document),
        remarks=[*remarks(document)],
        change_of=change_of,
        light=properties(LIGHT),
        dark=properties(DARK),
        changes=Markup(pictures.changes_picture(document)),
        launches=Markup(pictures.launches_picture(document)),
        density=Markup(pictures.density_picture(document)),
        tail=Markup(pictures.tail_picture(document)),
        trends=[Markup(trend) for trend in trends if trend],
    )
