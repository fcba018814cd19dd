"""The control over HTTP: JSON in and out, for clients with the token, and for no browser."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
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
Handler = Callable[[LabControl, Request, M], Response]


def api(control: LabControl, token: str) -> Starlette:
    """The application."""

    def route(method: str, path: str, handler: Handler[M], body: type[M]) -> Route:
        return Route(path, _endpoint(control, handler, body), methods=[method])

    return Starlette(
        routes=[
            route("GET", "/state", _state, NoBody),
            route("POST", "/faults", _inject, FaultOrder),
            route("DELETE", "/faults/{fault}", _heal, NoBody),
            route("POST", "/heal", _heal_all, NoBody),
            route("POST", "/runs", _start, RunOrder),
            route("DELETE", "/runs/current", _interrupt, NoBody),
            route("GET", "/runs/{run}/report", _report, NoBody),
            route("PUT", "/claim", _claim, Claim),
            route("DELETE", "/claim", _release, Claim),
            route("PUT", "/status", _update, RunStatus),
            route("GET", "/metrics", _metrics, NoBody),
            route("GET", "/healthz", _healthz, NoBody),
        ],
        middleware=[Middleware(_Guard, token)],
    )


def _state(control: LabControl, _: Request, __: NoBody) -> Response:
    return JSONResponse(control.overview())


def _inject(control: LabControl, _: Request, order: FaultOrder) -> Response:
    fault = control.inject(order.kind, order.target, order.latency_ms)
    return JSONResponse({"id": fault.id, "name": fault.name}, HTTPStatus.CREATED)


def _heal(control: LabControl, request: Request, _: NoBody) -> Response:
    control.heal(request.path_params["fault"])
    return JSONResponse({})


def _heal_all(control: LabControl, _: Request, __: NoBody) -> Response:
    control.heal_all()
    return JSONResponse({})


def _start(control: LabControl, _: Request, order: RunOrder) -> Response:
    run = control.start(order.experiment, full=order.full, arms=order.arms)
    return JSONResponse({"id": run}, HTTPStatus.CREATED)


def _interrupt(control: LabControl, _: Request, __: NoBody) -> Response:
    control.interrupt()
    return JSONResponse({})


def _report(control: LabControl, request: Request, _: NoBody) -> Response:
    return FileResponse(control.report(request.path_params["run"]))


def _claim(control: LabControl, _: Request, claim: Claim) -> Response:
    control.claim(claim.run)
    return JSONResponse({})


def _release(control: LabControl, _: Request, claim: Claim) -> Response:
    control.release(claim.run)
    return JSONResponse({})


def _update(control: LabControl, _: Request, status: RunStatus) -> Response:
    control.update(status)
    return JSONResponse({})


def _metrics(control: LabControl, _: Request, __: NoBody) -> Response:
    return Response(exposition(control), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _healthz(_: LabControl, __: Request, ___: NoBody) -> Response:
    return PlainTextResponse("ok\n")


def _endpoint(
    control: LabControl, handler: Handler[M], body: type[M]
) -> Callable[[Request], Awaitable[Response]]:
    """Validate the body, call the handler in a thread, and turn refusals into error responses."""

    async def endpoint(request: Request) -> Response:
        try:
            message = parsed(await request.body(), body)
            return await run_in_threadpool(handler, control, request, message)
        except RequestRefused as refused:
            return _error(refused.status, str(refused), **refused.more)
        except StackError as trouble:
            return _error(HTTPStatus.BAD_GATEWAY, str(trouble))

    return endpoint


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
