"""OpenTelemetry traces: a span for each request, with a span inside for each wait.

Imported only if tracing is on; endpoint, sampling and the rest come from OpenTelemetry's own
variables (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER, …).
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import AbstractContextManager, nullcontext

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    INVALID_SPAN,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    get_current_span,
)

from stack.shortener import __version__
from stack.shortener.http import asgi
from stack.shortener.http.request_ids import HEADER
from stack.shortener.http.request_metrics import ROUTE
from stack.shortener.infra import spans

_POLL_S = 0.01


class Tracing:
    """Records spans, and exports them in the background."""

    def __init__(self, process: str) -> None:
        about = {
            "service.name": "shortener",
            "service.version": __version__,
            "service.instance.id": process,
        }
        self._exporter = OTLPSpanExporter()
        resource = Resource.create(about)
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer: Tracer = self._provider.get_tracer("shortener", __version__)
        spans.set_recorder(self._begin)

    def _begin(
        self, name: str, attributes: dict[str, spans.Attribute]
    ) -> AbstractContextManager[Span]:
        around = get_current_span()
        if around is not INVALID_SPAN and not around.is_recording():
            return nullcontext(around)  # the request is not sampled
        prefixed = {f"shortener.{key}": value for key, value in attributes.items()}
        return self._tracer.start_as_current_span(name, None, SpanKind.CLIENT, prefixed)

    def requests(self, app: asgi.App) -> asgi.App:
        """Wrap an app: trace its requests, within the trace of their `traceparent`."""

        async def traced(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
            carrier = {
                name.decode("latin-1"): value.decode("latin-1")
                for name, value in scope["headers"]
                if name in (b"traceparent", b"tracestate")
            }
            method = scope["method"]
            with self._tracer.start_as_current_span(
                method, extract(carrier), SpanKind.SERVER, {"http.request.method": method}
            ) as span:

                async def note(message: asgi.Message) -> None:
                    if message["type"] == "http.response.start":
                        _describe(span, scope, message)
                    await send(message)

                await app(scope, receive, note)

        return traced

    async def close(self, within_s: float) -> None:
        """Export the spans left, for at most `within_s`, even if the collector is down."""
        spans.set_recorder(None)
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        deadline_s = time.monotonic() + within_s
        while sending.is_alive() and time.monotonic() < deadline_s:
            await asyncio.sleep(_POLL_S)
        if sending.is_alive():
            self._exporter.shutdown()  # type: ignore[no-untyped-call]


def _describe(span: Span, scope: asgi.Scope, start: asgi.Message) -> None:
    status: int = start["status"]
    route = scope.get(ROUTE, "redirect" if scope["path"].rstrip("/").count("/") == 1 else "other")
    span.update_name(f"{scope['method']} {route}")
    span.set_attribute("http.route", route)
    span.set_attribute("url.path", scope["path"])
    span.set_attribute("http.response.status_code", status)
    for name, value in start.get("headers", ()):
        if name == HEADER:
            span.set_attribute("http.response.header.x-request-id", [value.decode("latin-1")])
    if status >= 500:
        span.set_status(StatusCode.ERROR)
