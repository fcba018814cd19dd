"""Locust's start form for open-loop traffic: its own fields, and a check of every value.

The rate follows its curve whatever the number of users is, so the users fields are hidden. Locust
takes one field after the other, answers 500 to the first that it cannot parse, and starts tests
that no process can run: all values are checked before that.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue
from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING, MasterRunner
from locust.util.timespan import parse_timespan
from locust.web import WebUI

from scenarios.generator.http_client import HttpClient
from scenarios.options import SHOWN_MAX, check, check_host
from scenarios.shape import OpenLoopShape

HEAD_ENDS, BODY_BEGINS = "</head>", "<body>"
ADDED_TO_HEAD = (
    '<link rel="stylesheet" href="/linkstorm/form.css">'
    '<script src="/linkstorm/form.js" defer></script>'
)
LOCUST_FIELDS: Mapping[str, type] = {"user_count": int, "spawn_rate": float}
NUMBERS: Mapping[type, str] = {int: "a whole number", float: "a number"}

assets = Blueprint("linkstorm", __name__, static_folder="static", static_url_path="/linkstorm")


def adapt_form(environment: Environment, web_ui: WebUI, navigation: str = "") -> None:
    """Add our style, script and navigation to Locust's page, and check what its form sends."""
    assert web_ui.app is not None
    web_ui.app.before_request(lambda: _reject_wrong_values(environment))
    web_ui.app.jinja_env.policies["json.dumps_kwargs"] = {"sort_keys": False}
    web_ui.app.register_blueprint(assets)

    @web_ui.app.after_request
    def add(response: Response) -> Response:
        if request.path == "/" and response.mimetype == "text/html":
            page = response.get_data(as_text=True)
            page = page.replace(HEAD_ENDS, ADDED_TO_HEAD + HEAD_ENDS, 1)
            response.set_data(page.replace(BODY_BEGINS, BODY_BEGINS + navigation, 1))
        return response


def _reject_wrong_values(environment: Environment) -> ResponseReturnValue | None:
    """Answer a wrong form with a message, which Locust's form shows and stays open."""
    if request.endpoint != "locust.swarm":
        return None
    try:
        check_form(environment, request.form)
    except (ValueError, OSError) as wrong:
        return jsonify({"success": False, "message": str(wrong), "host": environment.host})
    if request.form.get("run_time") == "":  # Locust takes it for no change
        assert environment.parsed_options is not None
        environment.parsed_options.run_time = None
    if isinstance(environment.shape_class, OpenLoopShape):
        environment.shape_class.end_failed_test()
    return None


def check_form(environment: Environment, form: Mapping[str, str]) -> None:
    """Raise `ValueError` or `OSError` with a message for the user of the form."""
    assert environment.parsed_options is not None
    options = Namespace(**vars(environment.parsed_options))
    for name, text in form.items():
        setattr(options, name, _parsed(name, getattr(options, name, None), text))
    check(options)
    host = form.get("host", environment.host or "")
    check_host(host)
    runner = environment.runner
    assert runner is not None
    # A running test can be edited even while a fault keeps its host from answering.
    if runner.state not in (STATE_SPAWNING, STATE_RUNNING) or host != environment.host:
        HttpClient(host)
    if isinstance(runner, MasterRunner) and not runner.worker_count:
        raise ValueError("no Locust worker is connected yet: start one, or wait for it")


def _parsed(name: str, current: object, text: str) -> object:
    """The value as Locust will parse it."""
    if name == "run_time":
        return _seconds(text)
    kind: type = LOCUST_FIELDS.get(name, type(current))
    if kind not in NUMBERS:
        return text
    try:
        number: object = kind(text)
    except ValueError:
        raise ValueError(f"{name} must be {NUMBERS[kind]}, not {text[:SHOWN_MAX]!r}") from None
    return number


def _seconds(text: str) -> int | None:
    """The run time in seconds; `None` for a test without an end."""
    try:
        return parse_timespan(text) if text else None
    except (ValueError, OverflowError):
        why = f"run_time must be like 20, 20s, 3m, 2h or 1h20m, not {text[:SHOWN_MAX]!r}"
        raise ValueError(why) from None
