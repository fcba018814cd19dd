"""One name, one colour: after Okabe and Ito (Color Universal Design, 2008), for the colour-blind.

Vermilion is for bad news only. The names that a legend can show are listed here if a label has a
fixed set of values; each panel assigns the other colours in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import cycle, product

from chaos.runtimes.topology import LINKS

VERMILION = "#D55E00"
CALM = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#0072B2", "#999999")
GOOD = CALM[0]

VALUES: Mapping[str, Sequence[str]] = {
    "route": ("redirect", "create", "read", "change", "delete", "stats", "other"),
    "outcome": ("ok", "absent", "fail", "unknown"),
    "result": ("hit", "stale", "early", "wait", "miss"),
    "db": ("replica", "primary"),
    "state": ("minted", "queued", "dropped"),
    "link": tuple(LINKS),
    "proxy": tuple(LINKS),
    "slo": ("availability", "latency"),
    "verdict": ("PASS", "FAIL", "INVALID"),
}
BAD = ("fail", "miss", "dropped", "FAIL", "dead-lettered", "unsent", "evicted")


def names(legend: str, parts: Sequence[str]) -> Iterator[str]:
    """Every name that a legend can show; none for a label with unknown values."""
    labels = re.findall(r"{{(\w+)}}", legend)
    known = {**VALUES, "part": parts}
    for values in product(*(known.get(label, ()) for label in labels)):
        name = legend
        for label, value in zip(labels, values, strict=True):
            name = name.replace(f"{{{{{label}}}}}", value)
        yield name


def colours(legends: Iterable[str], parts: Sequence[str]) -> dict[str, str]:
    """A colour for each name of a panel; vermilion for bad news."""
    shown = [name for legend in legends for name in names(legend, parts)]
    calm = cycle(CALM)
    return {name: VERMILION if name in BAD else next(calm) for name in shown}
