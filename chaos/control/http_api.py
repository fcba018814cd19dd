"""The control over HTTP: JSON in and out, for clients with the token, and for no browser."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from chaos.control.control_metrics import exposition
from chaos.control.lab_control import LabControl
from chaos.control.messages import (
    Claim,
    FaultOrder,
    Message,
    NoBody,
    RequestRefused,
    RunOrder,
    RunStatus,
    parsed,
)
from chaos.model.stack import StackError

TOKEN_HEADER = "X-Linkstorm-Token"
OPEN_TO_ALL = ("/metrics", "/healthz")

M = TypeVar("M", bound=Message)
Handler = Callable[[Request, M], Response | None]  # none: an empty object


def api(control: LabControl, token: str) -> Starlette:
    """The application."""

    def inject(_: Request, order: FaultOrder) -> Response:
        fault = control.inject(order.kind, order.target, order.latency_ms)
        return JSONResponse({"id": fault.id, "name": fault.name}, HTTPStatus.CREATED)

    def heal(request: Request, _: NoBody) -> None:
        control.heal(request.path_params["fault"])

    def promote(_: Request, __: NoBody) -> Response:
        return JSONResponse({"steps": control.promote()})

    def claim(_: Request, order: Claim) -> None:
        control.claim(order.run, first=order.first)

    def start(_: Request, order: RunOrder) -> Response:
        run = control.start(order.experiment, full=order.full, arms=order.arms)
        return JSONResponse({"id": run}, HTTPStatus.CREATED)

    def report(request: Request, _: NoBody) -> Response:
        return FileResponse(control.report(request.path_params["run"]))

    def metrics(_: Request, __: NoBody) -> Response:
        return Response(exposition(control), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return Starlette(
        routes=[
            _route("GET", "/state", NoBody, lambda _, __: JSONResponse(control.overview())),
            _route("POST", "/faults", FaultOrder, inject),
            _route("DELETE", "/faults/{fault}", NoBody, heal),
            _route("POST", "/heal", NoBody, lambda _, __: control.heal_all()),
            _route("POST", "/promote", NoBody, promote),
            _route("POST", "/runs", RunOrder, start),
            _route("DELETE", "/runs/current", NoBody, lambda _, __: control.interrupt()),
            _route("GET", "/runs/{run}/report", NoBody, report),
            _route("PUT", "/claim", Claim, claim),
            _route("DELETE", "/claim", Claim, lambda _, claim: control.release(claim.run)),
            _route("PUT", "/status", RunStatus, lambda _, status: control.update(status)),
            _route("GET", "/metrics", NoBody, metrics),
            _route("GET", "/healthz", NoBody, lambda _, __: PlainTextResponse("ok\n")),
        ],
        middleware=[Middleware(_Guard, token)],
    )


def _route(method: str, path: str, body: type[M], handler: Handler[M]) -> Route:
    """Validate the body, call the handler in a thread, and turn refusals into error responses."""

    async def endpoint(request: Request) -> Response:
        try:
            message = parsed(await request.body(), body)
            return await run_in_threadpool(handler, request, message) or JSONResponse({})
        except RequestRefused as refused:
            return _error(refused.status, str(refused), **refused.more)
        except StackError as trouble:
            return _error(HTTPStatus.BAD_GATEWAY, str(trouble))

    return Route(path, endpoint, methods=[method])


class _Guard:
    """Refuses requests without the token, and every browser: a page of any site could send them."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: ASGIApp = self._app
        if scope["type"] == "http" and (why := self._objection(Request(scope))):
            answer = _error(HTTPStatus.FORBIDDEN, why)
        await answer(scope, receive, send)

    def _objection(self, request: Request) -> str | None:
        if "origin" in request.headers:
            return "browsers are not served here: use the Chaos page of the Locust web UI"
        if request.url.path in OPEN_TO_ALL:
            return None
        given = request.headers.get(TOKEN_HEADER, "").encode()
        return None if hmac.compare_digest(given, self._token) else f"{TOKEN_HEADER} is wrong"


def _error(status: HTTPStatus, why: str, **more: object) -> Response:
    return JSONResponse({"error": why, **more}, status)
