"""Spans: the parts of a request that a trace shows. They cost next to nothing where nobody traces.

Whoever has something to time says so here; `tracing` is imported, and OpenTelemetry with it, only
where the environment names a collector.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Attribute = str | int | float | bool
Timing = AbstractContextManager[object]
Begin = Callable[[str, dict[str, Attribute]], Timing]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NOTHING = nullcontext()
_begin: Begin | None = None


def wanted() -> bool:
    """Whether the environment asks for traces, in the words of OpenTelemetry."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not off and any(os.environ.get(name) for name in _ENDPOINTS)


def leave_out() -> None:
    """Keep libraries from importing OpenTelemetry where nobody wants traces.

    Redis-py does wherever it is installed, and every start would be 0.2 s slower for nothing.
    """
    if not wanted():
        sys.modules.setdefault("opentelemetry", None)  # type: ignore[arg-type]


def span(name: str, **attributes: Attribute) -> Timing:
    """Time what happens within; what is raised within marks it as failed."""
    return _NOTHING if _begin is None else _begin(name, attributes)


def record(begin: Begin | None) -> None:
    """Have spans recorded by this, or by nobody."""
    global _begin
    _begin = begin
