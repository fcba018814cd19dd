"""Locust's start form as this traffic needs it: its own fields open and in order, two others gone.

The rate follows its curve whatever the number of users is, so asking for users would mislead.
"""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue
from locust.env import Environment
from locust.web import WebUI

from scenarios.shape import CrowdShape
from scenarios.web_ui.form_values import check_asked

HEAD_ENDS, BODY_BEGINS = "</head>", "<body>"
ON_LOCUSTS_PAGE = (
    '<link rel="stylesheet" href="/linkstorm/form.css">'
    '<script src="/linkstorm/form.js" defer></script>'
)

ours = Blueprint("linkstorm", __name__, static_folder="static", static_url_path="/linkstorm")


def improve_form(environment: Environment, web_ui: WebUI, strip: str = "") -> None:
    """Add our style and script to Locust's page, what is to stand above it, and a check."""
    assert web_ui.app is not None
    web_ui.app.before_request(lambda: _only_what_can_be_done(environment))
    web_ui.app.jinja_env.policies["json.dumps_kwargs"] = {"sort_keys": False}
    web_ui.app.register_blueprint(ours)

    @web_ui.app.after_request
    def add(response: Response) -> Response:
        if request.path == "/" and response.mimetype == "text/html":
            page = response.get_data(as_text=True)
            page = page.replace(HEAD_ENDS, ON_LOCUSTS_PAGE + HEAD_ENDS, 1)
            response.set_data(page.replace(BODY_BEGINS, BODY_BEGINS + strip, 1))
        return response


def _only_what_can_be_done(environment: Environment) -> ResponseReturnValue | None:
    """Locust's form shows what is said here, and stays open."""
    if request.endpoint != "locust.swarm":
        return None
    try:
        check_asked(environment, request.form)
    except (ValueError, OSError) as wrong:
        return jsonify({"success": False, "message": str(wrong), "host": environment.host})
    if request.form.get("run_time") == "":  # which Locust takes for no change
        assert environment.parsed_options is not None
        environment.parsed_options.run_time = None
    if isinstance(environment.shape_class, CrowdShape):
        environment.shape_class.make_way()
    return None
