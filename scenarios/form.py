"""Locust's start form as this traffic needs it: its own fields open and in order, two others gone.

The rate follows its curve whatever the number of users is, so asking for users would mislead.
"""

from __future__ import annotations

from flask import Blueprint, Response, request
from locust.web import WebUI

HEAD_ENDS, BODY_BEGINS = "</head>", "<body>"
ON_LOCUSTS_PAGE = (
    '<link rel="stylesheet" href="/linkstorm/form.css">'
    '<script src="/linkstorm/form.js" defer></script>'
)

ours = Blueprint("linkstorm", __name__, static_folder="static", static_url_path="/linkstorm")


def improve_form(web_ui: WebUI, strip: str = "") -> None:
    """Add our style and script to Locust's page, and what is to stand above it."""
    assert web_ui.app is not None
    web_ui.app.jinja_env.policies["json.dumps_kwargs"] = {"sort_keys": False}
    web_ui.app.register_blueprint(ours)

    @web_ui.app.after_request
    def add(response: Response) -> Response:
        if request.path == "/" and response.mimetype == "text/html":
            page = response.get_data(as_text=True)
            page = page.replace(HEAD_ENDS, ON_LOCUSTS_PAGE + HEAD_ENDS, 1)
            response.set_data(page.replace(BODY_BEGINS, BODY_BEGINS + strip, 1))
        return response
