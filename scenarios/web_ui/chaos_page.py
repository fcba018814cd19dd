"""The Chaos page of the Locust web UI: the stack's state, faults, roles, runs and results."""

from __future__ import annotations

import hmac
import secrets
from http import HTTPStatus

from flask import Blueprint, Response, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from locust.env import Environment
from locust.web import WebUI

from scenarios.web_ui.control_client import TOKEN_HEADER, ControlClient, ControlError
from scenarios.web_ui.same_origin import SAFE_METHODS, refusal_reason, remove_cors_headers

NAVIGATION = "chaos_strip.html"
RUNNING_STATES = ("spawning", "running", "cleanup", "stopping")
PAGE_POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
REPORT_POLICY = "sandbox allow-scripts; frame-ancestors 'none'"  # its scripts are in the page


def add_chaos_page(environment: Environment, web_ui: WebUI, control: ControlClient) -> str:
    """Serve /chaos, and return the navigation bar for Locust's own page."""
    app = web_ui.app
    assert app is not None
    token = secrets.token_urlsafe(32)
    page = Blueprint("chaos", __name__, template_folder="templates", url_prefix="/chaos")
    _protect(page, token)
    _add_views(page, environment, control, token)
    _add_changes(page, environment, control)
    app.before_request(_reject_other_origins)
    app.before_request(lambda: _reject_traffic_during_run(environment, control))
    app.register_blueprint(page)
    remove_cors_headers(app)
    with app.app_context():
        return render_template(NAVIGATION, here="traffic")


def _reject_other_origins() -> ResponseReturnValue | None:
    ours = request.blueprint == "chaos"
    if (ours or request.method not in SAFE_METHODS) and (reason := refusal_reason(request)):
        return _error(HTTPStatus.FORBIDDEN, reason)
    return None


def _reject_traffic_during_run(
    environment: Environment, control: ControlClient
) -> ResponseReturnValue | None:
    """Keep Locust's traffic from spoiling a run; Locust's form shows the message."""
    if request.endpoint != "locust.swarm":
        return None
    try:
        run = control.state()["run"]
    except ControlError:  # without the lab's control server there is no run
        return None
    if run is None or run["state"] != "running":
        return None
    why = f"{run['experiment']} is running: wait for its end, or stop it on the Chaos page"
    return jsonify({"success": False, "message": why, "host": environment.host})


def _protect(page: Blueprint, token: str) -> None:
    @page.before_request
    def require_token() -> ResponseReturnValue | None:
        given = request.headers.get(TOKEN_HEADER, "").encode()
        if request.method in SAFE_METHODS or hmac.compare_digest(given, token.encode()):
            return None
        return _error(HTTPStatus.FORBIDDEN, "this page is out of date: load it again")

    @page.errorhandler(ControlError)
    def control_error(refused: ControlError) -> ResponseReturnValue:
        return _error(refused.status, str(refused))

    @page.after_request
    def add_security_headers(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        return response


def _add_views(
    page: Blueprint, environment: Environment, control: ControlClient, token: str
) -> None:
    @page.get("")
    def show() -> str:
        return render_template("chaos.html", token=token, strip=NAVIGATION, here="chaos")

    @page.get("/state")
    def state() -> ResponseReturnValue:
        return jsonify({**control.state(), "traffic": _traffic(environment)})

    @page.get("/runs/<run>/report")
    def report(run: str) -> ResponseReturnValue:
        return Response(control.report(run), headers={"Content-Security-Policy": REPORT_POLICY})


def _add_changes(page: Blueprint, environment: Environment, control: ControlClient) -> None:
    def forward(path: str, method: str, target: str) -> None:
        def view(**values: str) -> ResponseReturnValue:
            return jsonify(control.change(method, target.format(**values), request.get_data()))

        page.add_url_rule(path, path, view, methods=["POST"])

    forward("/faults", "POST", "/faults")
    forward("/faults/<int:fault>/heal", "DELETE", "/faults/{fault}")
    forward("/heal", "POST", "/heal")
    forward("/promote", "POST", "/promote")
    forward("/runs/current/stop", "DELETE", "/runs/current")

    @page.post("/runs")
    def start() -> ResponseReturnValue:
        if _traffic(environment)["state"] in RUNNING_STATES:
            why = "Locust's own traffic is running and would distort the measurement: stop it first"
            return _error(HTTPStatus.CONFLICT, why)
        return jsonify(control.change("POST", "/runs", request.get_data()))


def _traffic(environment: Environment) -> dict[str, str | float]:
    runner = environment.runner
    assert runner is not None
    return {
        "state": runner.state,
        "rate_per_s": runner.stats.total.current_rps,
        "failures_per_s": runner.stats.total.current_fail_per_sec,
    }


def _error(status: int, why: str) -> ResponseReturnValue:
    return jsonify({"error": why}), status
