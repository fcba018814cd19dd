"""Operations of the OpenAPI document, each with shell examples."""

from __future__ import annotations

from collections.abc import Mapping

from stack.shortener.api import answers, qr_code, validation
from stack.shortener.api.openapi.components import Json, ref
from stack.shortener.settings import WebSettings

_TEXT: Json = {"type": "string"}
_OF_BODIES = (408, 413, 415, 422)  # errors of any request with a body


class Paths:
    """The operations of one deployment."""

    def __init__(self, base: str, settings: WebSettings) -> None:
        self._base = base
        self._settings = settings
        self._links = f"{base}/api/links"
        self._link = f'"{self._links}/$code"'

    def all(self) -> Json:
        """All operations by path and method, in an order in which the examples work."""
        code = _pattern(answers.CODE_PATTERN)
        parameter = {**_parameter("path", "code", "The link's code.", code), "required": True}
        one = {"parameters": [parameter]}
        return {
            "/api/links": {"post": self._create(), "get": self._list()},
            "/api/links/bulk": {"post": self._bulk()},
            "/{code}": {**one, "get": self._follow()},
            "/api/links/{code}/stats": {**one, "get": self._stats()},
            "/api/links/{code}/qr": {**one, "get": self._qr()},
            "/api/links/{code}": {
                **one,
                "get": self._read(),
                "patch": self._change(),
                "delete": self._delete(),
            },
        }

    def _curl(self, address: str, *options: str, data: str = "") -> str:
        """A curl command with one option per line."""
        key = ['-H "Authorization: Bearer $key"'] if self._settings.require_api_key else []
        body = ["-H 'Content-Type: application/json'", f"-d '{data}'"] if data else []
        return " \\\n  ".join([f"curl -sS {address}", *key, *options, *body])

    def _errors(self, *codes: int) -> Json:
        common = [400, 405, 414, 431, 503]
        if self._settings.require_api_key:
            common.append(401)
        if self._settings.api_rate_per_s > 0:
            common.append(429)
        return _refs(*codes, *common)

    def _create(self) -> Json:
        page = '{"url": "https://example.org/page"}'
        campaign = (
            '{"url": "https://example.org/spring", "alias": "spring-\'$(date +%s)\'",\n'
            '       "expires_at": "2099-12-31T23:59:59Z", "max_clicks": 1000}'
        )
        created = self._curl(self._links, data=page)
        return _operation(
            "createLink",
            "Create a link",
            "With an Idempotency-Key it is safe to retry: the same request gets the same link.",
            {
                "201": _json("The link.", "Link", ETag="ETag", Location="Location"),
                **self._errors(409, *_OF_BODIES),
            },
            {
                "A link with a random code, which the other examples use as $code": (
                    f'code=$({created} |\n  cut -d\'"\' -f4)\necho "$code"'
                ),
                "With an alias, an expiry and a click limit": self._curl(
                    self._links, data=campaign
                ),
                "Safe to repeat": self._curl(
                    self._links, "-H 'Idempotency-Key: order-1742'", data=page
                ),
            },
            _idempotency_key(),
            body="NewLink",
        )

    def _list(self) -> Json:
        limit = _integer(validation.PAGE_MAX, validation.PAGE_DEFAULT)
        after = _pattern(validation.CURSOR_PATTERN)
        return _operation(
            "listLinks",
            "List links",
            "Newest first. Links created meanwhile do not shift later pages.",
            {"200": _json("A page of links.", "Page", Link="Next"), **self._errors(422)},
            {"The newest three": self._curl(f"'{self._links}?limit=3'")},
            _parameter("query", "limit", "Maximum number of links.", limit),
            _parameter("query", "after", "The `next` of the previous page.", after),
        )

    def _bulk(self) -> Json:
        two = (
            '{"links": [{"url": "https://example.org/a"},\n'
            '                 {"url": "https://example.org/b", "max_clicks": 1}]}'
        )
        return _operation(
            "createLinks",
            "Create many links",
            "All of them or none: if a link is invalid or its alias is taken, `errors` points at "
            "each such link. Each link counts as a request.",
            {
                "201": _json("The links, in the order of the request.", "Links"),
                **self._errors(409, *_OF_BODIES),
            },
            {"Two at once": self._curl(f"{self._links}/bulk", data=two)},
            _idempotency_key(),
            body="NewLinks",
        )

    def _read(self) -> Json:
        return _operation(
            "readLink",
            "Read a link",
            "",
            {"200": _json("The link as it is now.", "Link", ETag="ETag"), **self._errors(404)},
            {"With its headers": self._curl(f"-i {self._link}")},
        )

    def _change(self) -> Json:
        patch = f"-X PATCH {self._link}"
        moved = '{"url": "https://example.org/moved"}'
        on = '{"disabled": false, "expires_at": null, "max_clicks": null}'
        return _operation(
            "changeLink",
            "Change a link",
            "Changes only the given members. With If-Match it fails if the link was changed "
            "meanwhile. An expiry in the past ends the link at once.",
            {
                "200": _json("The link as it is now.", "Link", ETag="ETag"),
                **self._errors(404, 412, *_OF_BODIES),
            },
            {
                "Another target, if the link is still at version 1": self._curl(
                    patch, "-H 'If-Match: \"1\"'", data=moved
                ),
                "Off": self._curl(patch, data='{"disabled": true}'),
                "On again, without expiry and limit": self._curl(patch, data=on),
            },
            _if_match(),
            body="LinkChange",
        )

    def _delete(self) -> Json:
        return _operation(
            "deleteLink",
            "Delete a link",
            "For good: its code is never reused.",
            {"204": {"description": "It is deleted."}, **self._errors(404, 412)},
            {"Regardless of its version": self._curl(f"-i -X DELETE {self._link}")},
            _if_match(),
        )

    def _stats(self) -> Json:
        return _operation(
            "readStats",
            "Read its statistics",
            "The clicks counted so far; a click is counted within about a second.",
            {"200": _json("The counts.", "Stats"), **self._errors(404)},
            {"All counts": self._curl(f'"{self._links}/$code/stats"')},
        )

    def _qr(self) -> Json:
        formats = {**_TEXT, "enum": list(qr_code.FORMATS), "default": qr_code.FORMATS[0]}
        scale = _integer(qr_code.SCALE_MAX, qr_code.SCALE_DEFAULT)
        images: Json = {
            qr_code.MEDIA_TYPES["svg"]: {"schema": _TEXT},
            qr_code.MEDIA_TYPES["png"]: {},
        }
        return _operation(
            "drawLink",
            "Draw its QR code",
            f"Counts as {qr_code.RATE_COST} requests.",
            {"200": {"description": "The image.", "content": images}, **self._errors(404, 422)},
            {"As a file": self._curl(f'"{self._links}/$code/qr?format=png"', "-o link.png")},
            _parameter("query", "format", "The image format.", formats),
            _parameter("query", "scale", "Pixels per module.", scale),
        )

    def _follow(self) -> Json:
        about = {
            "Location": "The target.",
            "X-Link-Version": "The link's version.",
            "X-Click-Id": "The id of the counted click.",
        }
        headers = {name: {"description": each, "schema": _TEXT} for name, each in about.items()}
        operation = _operation(
            "followLink",
            "Follow a link",
            "Redirects a visitor. HEAD does the same without counting a click. Codes are "
            "case-sensitive; a slash after the code is ignored. A query is not passed on to the "
            "target.",
            {
                "302": {"description": "Redirect to the target.", "headers": headers},
                **_refs(400, 404, 405, 410, 414, 431, 503),
            },
            {"Show the target": f'curl -sSi "{self._base}/$code"'},
        )
        return {**operation, "security": []}


def _operation(
    name: str,
    summary: str,
    about: str,
    responses: Json,
    samples: Mapping[str, str],
    *parameters: Json,
    body: str = "",
) -> Json:
    """An operation, without the parts that it does not have."""
    parts = {
        "operationId": name,
        "summary": summary,
        "description": about,
        "parameters": [*parameters],
        "requestBody": {"required": True, **_content(body)} if body else None,
        "responses": responses,
        "x-codeSamples": [
            {"lang": "Shell", "label": label, "source": source} for label, source in samples.items()
        ],
    }
    return {name: part for name, part in parts.items() if part}


def _json(description: str, schema: str, **headers: str) -> Json:
    refs = {name: ref("headers", which) for name, which in headers.items()}
    return {"description": description, "headers": refs, **_content(schema)}


def _content(schema: str) -> Json:
    return {"content": {"application/json": {"schema": ref("schemas", schema)}}}


def _refs(*codes: int) -> Json:
    return {str(code): ref("responses", str(code)) for code in sorted(codes)}


def _parameter(place: str, name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": place, "description": description, "schema": schema}


def _idempotency_key() -> Json:
    about = "1 to 200 visible ASCII characters, unique to this request."
    return _parameter("header", "Idempotency-Key", about, _pattern(validation.KEY_PATTERN))


def _if_match() -> Json:
    about = 'The expected ETag, such as "1", or several, or *.'
    return _parameter("header", "If-Match", about, _pattern(validation.TAGS_PATTERN))


def _pattern(pattern: str) -> Json:
    return {**_TEXT, "pattern": pattern}


def _integer(maximum: int, default: int) -> Json:
    return {"type": "integer", "minimum": 1, "maximum": maximum, "default": default}
