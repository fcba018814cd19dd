"""A page for each experiment: the few panels that answer its question, and what to look for.

A page is the module of the experiment's own name in this folder: `stale_reads.py` for
`stale-reads`, with a `dashboard`. Modules with `_` are no pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules

from dashboards.panel import Dashboard


def pages() -> Sequence[Dashboard]:
    """All pages, by name."""
    names = sorted(module.name for module in iter_modules(__path__))
    modules = [import_module(f"{__name__}.{name}") for name in names if name[0] != "_"]
    return [module.dashboard for module in modules]
