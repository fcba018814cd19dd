"""The Chaos page of the Locust web UI: what the stack is like, what breaks it, what runs show."""

from __future__ import annotations

import hmac
import secrets
from http import HTTPStatus

from flask import Blueprint, Response, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from locust.env import Environment
from locust.web import WebUI

from scenarios.web_ui.control_client import TOKEN_HEADER, ControlClient, ControlError
from scenarios.web_ui.same_origin import READS, keep_to_itself, objection

STRIP = "chaos_strip.html"
BUSY = ("spawning", "running", "cleanup", "stopping")
OURS_ONLY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
REPORT_ONLY = "sandbox allow-scripts; frame-ancestors 'none'"  # its scripts are in the page


def add_chaos_page(environment: Environment, web_ui: WebUI, control: ControlClient) -> str:
    """Serve /chaos; the strip that leads to it, for Locust's own page."""
    app = web_ui.app
    assert app is not None
    token = secrets.token_urlsafe(32)
    page = Blueprint("chaos", __name__, template_folder="templates", url_prefix="/chaos")
    _protect(page, token)
    _show(page, environment, control, token)
    _change(page, environment, control)
    app.before_request(_only_from_here)
    app.before_request(lambda: _one_load_at_a_time(environment, control))
    app.register_blueprint(page)
    keep_to_itself(app)
    with app.app_context():
        return render_template(STRIP, here="traffic")


def _only_from_here() -> ResponseReturnValue | None:
    ours = request.blueprint == "chaos"
    if (ours or request.method not in READS) and (why := objection(request)):
        return _error(HTTPStatus.FORBIDDEN, why)
    return None


def _one_load_at_a_time(
    environment: Environment, control: ControlClient
) -> ResponseReturnValue | None:
    """Traffic beside a run would spoil what it measures; Locust's form shows what is said here."""
    if request.endpoint != "locust.swarm":
        return None
    try:
        run = control.state()["run"]
    except ControlError:  # nobody can run anything then
        return None
    if run is None or run["state"] != "running":
        return None
    why = f"{run['experiment']} is on: wait for its end, or stop it on the Chaos page"
    return jsonify({"success": False, "message": why, "host": environment.host})


def _protect(page: Blueprint, token: str) -> None:
    @page.before_request
    def only_with_the_token() -> ResponseReturnValue | None:
        given = request.headers.get(TOKEN_HEADER, "").encode()
        if request.method in READS or hmac.compare_digest(given, token.encode()):
            return None
        return _error(HTTPStatus.FORBIDDEN, "this page is out of date: load it again")

    @page.errorhandler(ControlError)
    def passed_on(refused: ControlError) -> ResponseReturnValue:
        return _error(refused.status, str(refused))

    @page.after_request
    def keep_to_ourselves(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", OURS_ONLY)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        return response


def _show(page: Blueprint, environment: Environment, control: ControlClient, token: str) -> None:
    @page.get("")
    def show() -> str:
        return render_template("chaos.html", token=token, strip=STRIP, here="chaos")

    @page.get("/state")
    def state() -> ResponseReturnValue:
        return jsonify({**control.state(), "traffic": _traffic(environment)})

    @page.get("/runs/<run>/report")
    def report(run: str) -> ResponseReturnValue:
        return Response(control.report(run), headers={"Content-Security-Policy": REPORT_ONLY})


def _change(page: Blueprint, environment: Environment, control: ControlClient) -> None:
    def does(path: str, method: str, at_control: str) -> None:
        def do(**where: str) -> ResponseReturnValue:
            return jsonify(control.change(method, at_control.format(**where), request.get_data()))

        page.add_url_rule(path, path, do, methods=["POST"])

    does("/faults", "POST", "/faults")
    does("/faults/<int:fault>/heal", "DELETE", "/faults/{fault}")
    does("/heal", "POST", "/heal")
    does("/runs/current/stop", "DELETE", "/runs/current")

    @page.post("/runs")
    def start() -> ResponseReturnValue:
        if _traffic(environment)["state"] in BUSY:
            why = "Locust's own traffic is on, and would spoil what a run measures: stop it first"
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
