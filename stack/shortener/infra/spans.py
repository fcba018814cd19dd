"""Spans of a trace; without tracing they cost next to nothing.

`http.tracing`, and OpenTelemetry with it, is imported only if the environment names a collector.
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


def tracing_enabled() -> bool:
    """Return true if OpenTelemetry's environment variables enable tracing."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not off and any(os.environ.get(name) for name in _ENDPOINTS)


def block_opentelemetry() -> None:
    """Prevent the import of OpenTelemetry by libraries while tracing is off.

    Redis-py imports it where it is installed, which takes 0.2 s of every start.
    """
    if not tracing_enabled():
        sys.modules.setdefault("opentelemetry", None)  # type: ignore[arg-type]


def span(name: str, **attributes: Attribute) -> Timing:
    """Time the body of a `with`; an exception marks the span as failed."""
    return _NOTHING if _begin is None else _begin(name, attributes)


def set_recorder(begin: Begin | None) -> None:
    """Set the recorder of spans, or none."""
    global _begin
    _begin = begin
