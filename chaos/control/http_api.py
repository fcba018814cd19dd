"""The control over HTTP: JSON in and out, for those who know the token, and for no browser."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

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
from chaos.control.refusal import RequestRefused
from chaos.control.run_processes import is_name
from chaos.control.run_status import bulletin
from chaos.model.stack import StackError

TOKEN_HEADER = "X-Linkstorm-Token"
OPEN_TO_ALL = ("/metrics", "/healthz")

Said = Mapping[str, Any]
Answer = Callable[[LabControl, Request, Said], Response]


def api(control: LabControl, token: str) -> Starlette:
    """The application."""

    def route(path: str, method: str, answer: Answer) -> Route:
        return Route(path, _answering(control, answer), methods=[method])

    return Starlette(
        routes=[
            route("/state", "GET", _state),
            route("/faults", "POST", _inject),
            route("/faults/{fault}", "DELETE", _heal),
            route("/heal", "POST", _heal_all),
            route("/runs", "POST", _start),
            route("/runs/current", "DELETE", _interrupt),
            route("/runs/{run}/report", "GET", _report),
            route("/claim", "PUT", _claim),
            route("/claim", "DELETE", _give_back),
            route("/bulletin", "PUT", _tell),
            route("/metrics", "GET", _metrics),
            route("/healthz", "GET", _healthz),
        ],
        middleware=[Middleware(_Guard, token)],
    )


def _state(control: LabControl, _: Request, __: Said) -> Response:
    return JSONResponse(control.told())


def _inject(control: LabControl, _: Request, said: Said) -> Response:
    kind, target = _text(said, "kind"), _text(said, "target")
    fault = control.inject(kind, target, said.get("latency_ms"))
    return JSONResponse({"id": fault.id, "name": fault.name}, HTTPStatus.CREATED)


def _heal(control: LabControl, request: Request, _: Said) -> Response:
    control.heal(request.path_params["fault"])
    return JSONResponse({})


def _heal_all(control: LabControl, _: Request, __: Said) -> Response:
    control.heal_all()
    return JSONResponse({})


def _start(control: LabControl, _: Request, said: Said) -> Response:
    full, arms = said.get("full", False), said.get("arms", [])
    if not isinstance(full, bool):
        raise RequestRefused(HTTPStatus.BAD_REQUEST, f"full must be true or false, not {full!r}")
    if not isinstance(arms, list):
        raise RequestRefused(HTTPStatus.BAD_REQUEST, f"arms must be a list of names, not {arms!r}")
    run = control.start(_text(said, "experiment"), full=full, arms=[str(arm) for arm in arms])
    return JSONResponse({"id": run}, HTTPStatus.CREATED)


def _interrupt(control: LabControl, _: Request, __: Said) -> Response:
    control.interrupt()
    return JSONResponse({})


def _report(control: LabControl, request: Request, _: Said) -> Response:
    return FileResponse(control.report(request.path_params["run"]))


def _claim(control: LabControl, _: Request, said: Said) -> Response:
    control.claim(_run(said))
    return JSONResponse({})


def _give_back(control: LabControl, _: Request, said: Said) -> Response:
    control.give_back(_run(said))
    return JSONResponse({})


def _tell(control: LabControl, _: Request, said: Said) -> Response:
    control.tell(bulletin(said))
    return JSONResponse({})


def _metrics(control: LabControl, _: Request, __: Said) -> Response:
    return Response(exposition(control), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _healthz(_: LabControl, __: Request, ___: Said) -> Response:
    return PlainTextResponse("ok\n")


def _answering(control: LabControl, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    """Read what was said, answer in a thread that may wait for the stack, and put no into words."""

    async def endpoint(request: Request) -> Response:
        try:
            said = _object(await request.body())
            return await run_in_threadpool(answer, control, request, said)
        except RequestRefused as refused:
            return _error(refused.status, str(refused), **refused.more)
        except StackError as trouble:
            return _error(HTTPStatus.BAD_GATEWAY, str(trouble))

    return endpoint


class _Guard:
    """Turns away whoever lacks the token, and every browser: a page of any site could ask us."""

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
        return None if hmac.compare_digest(given, self._token) else f"{TOKEN_HEADER} is not ours"


def _error(status: HTTPStatus, why: str, **more: object) -> Response:
    return JSONResponse({"error": why, **more}, status)


def _object(body: bytes) -> Said:
    """What was sent, all of it fit to be told again."""
    try:
        said = json.loads(body or b"{}")
        json.dumps(said, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "what was sent is not JSON in UTF-8") from None
    if not isinstance(said, dict):
        raise RequestRefused(HTTPStatus.BAD_REQUEST, f"a JSON object is needed, not {said!r}")
    return said


def _text(said: Said, name: str) -> str:
    if not isinstance(value := said.get(name), str) or not value:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, f"{name} must be a name, not {value!r}")
    return value


def _run(said: Said) -> str:
    if not is_name(run := _text(said, "run")):
        raise RequestRefused(
            HTTPStatus.BAD_REQUEST, f"run must be the name of a directory, not {run!r}"
        )
    return run
