"""Operations of the OpenAPI document, each with shell examples."""

from __future__ import annotations

from stack.shortener.api import answers, qr_code, validation
from stack.shortener.api.openapi.components import DeploymentFacts, Json, ref


class Paths:
    """The operations of one deployment."""

    def __init__(self, facts: DeploymentFacts) -> None:
        self._facts = facts
        self._links = f"{facts.base}/api/links"
        self._link = f'"{self._links}/$code"'

    def all(self) -> Json:
        """All operations by path and method, in an order in which the examples work."""
        one = {"parameters": [_code_parameter()]}
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

    def _curl(self, address: str, *options: str) -> str:
        """A curl command with one option per line."""
        key = ['-H "Authorization: Bearer $key"'] if self._facts.needs_key else []
        return " \\\n  ".join([f"curl -sS {address}", *key, *options])

    def _errors(self, *codes: int) -> Json:
        common = [400, 405, 414, 431, 503]
        if self._facts.needs_key:
            common.append(401)
        if self._facts.is_rate_limited:
            common.append(429)
        return {str(code): ref("responses", str(code)) for code in sorted({*codes, *common})}

    def _create(self) -> Json:
        page = _data('{"url": "https://example.org/page"}')
        return {
            "operationId": "createLink",
            "summary": "Create a link",
            "description": "With an Idempotency-Key it is safe to retry: the same request gets the "
            "same link.",
            "parameters": [_idempotency_key()],
            "requestBody": _json_body("NewLink"),
            "responses": {
                "201": _json("The link.", "Link", ETag="ETag", Location="Location"),
                **self._errors(408, 409, 413, 415, 422),
            },
            "x-codeSamples": [
                _sample(
                    "A link with a random code, which the other examples use as $code",
                    f'code=$({self._curl(self._links, *page)} |\n  cut -d\'"\' -f4)\necho "$code"',
                ),
                _sample(
                    "With an alias, an expiry and a click limit",
                    self._curl(
                        self._links,
                        *_data(
                            '{"url": "https://example.org/spring", '
                            '"alias": "spring-\'$(date +%s)\'",\n'
                            '       "expires_at": "2099-12-31T23:59:59Z", "max_clicks": 1000}'
                        ),
                    ),
                ),
                _sample(
                    "Safe to repeat",
                    self._curl(self._links, "-H 'Idempotency-Key: order-1742'", *page),
                ),
            ],
        }

    def _list(self) -> Json:
        limit = _integer(validation.PAGE_MAX, validation.PAGE_DEFAULT)
        after = {"type": "string", "pattern": validation.CURSOR_PATTERN}
        return {
            "operationId": "listLinks",
            "summary": "List links",
            "description": "Newest first. Links created meanwhile do not shift later pages.",
            "parameters": [
                _query("limit", "Maximum number of links.", limit),
                _query("after", "The `next` of the previous page.", after),
            ],
            "responses": {
                "200": _json("A page of links.", "Page", Link="Next"),
                **self._errors(422),
            },
            "x-codeSamples": [_sample("The newest three", self._curl(f"'{self._links}?limit=3'"))],
        }

    def _bulk(self) -> Json:
        return {
            "operationId": "createLinks",
            "summary": "Create many links",
            "description": "All of them or none: if a link is invalid or its alias is taken, "
            "`errors` points at each such link. Each link counts as a request.",
            "parameters": [_idempotency_key()],
            "requestBody": _json_body("NewLinks"),
            "responses": {
                "201": _json("The links, in the order of the request.", "Links"),
                **self._errors(408, 409, 413, 415, 422),
            },
            "x-codeSamples": [
                _sample(
                    "Two at once",
                    self._curl(
                        f"{self._links}/bulk",
                        *_data(
                            '{"links": [{"url": "https://example.org/a"},\n'
                            '                 {"url": "https://example.org/b", "max_clicks": 1}]}'
                        ),
                    ),
                )
            ],
        }

    def _read(self) -> Json:
        return {
            "operationId": "readLink",
            "summary": "Read a link",
            "responses": {
                "200": _json("The link as it is now.", "Link", ETag="ETag"),
                **self._errors(404),
            },
            "x-codeSamples": [_sample("With its headers", self._curl(f"-i {self._link}"))],
        }

    def _change(self) -> Json:
        def patch(data: str, *options: str) -> str:
            return self._curl(f"-X PATCH {self._link}", *options, *_data(data))

        return {
            "operationId": "changeLink",
            "summary": "Change a link",
            "description": "Changes only the given members. With If-Match it fails if the link was "
            "changed meanwhile. An expiry in the past ends the link at once.",
            "parameters": [_if_match()],
            "requestBody": _json_body("LinkChange"),
            "responses": {
                "200": _json("The link as it is now.", "Link", ETag="ETag"),
                **self._errors(404, 408, 412, 413, 415, 422),
            },
            "x-codeSamples": [
                _sample(
                    "Another target, if the link is still at version 1",
                    patch('{"url": "https://example.org/moved"}', "-H 'If-Match: \"1\"'"),
                ),
                _sample("Off", patch('{"disabled": true}')),
                _sample(
                    "On again, without expiry and limit",
                    patch('{"disabled": false, "expires_at": null, "max_clicks": null}'),
                ),
            ],
        }

    def _delete(self) -> Json:
        return {
            "operationId": "deleteLink",
            "summary": "Delete a link",
            "description": "For good: its code is never reused.",
            "parameters": [_if_match()],
            "responses": {"204": {"description": "It is deleted."}, **self._errors(404, 412)},
            "x-codeSamples": [
                _sample("Regardless of its version", self._curl(f"-i -X DELETE {self._link}"))
            ],
        }

    def _stats(self) -> Json:
        return {
            "operationId": "readStats",
            "summary": "Read its statistics",
            "description": "The clicks counted so far; a click is counted within about a second.",
            "responses": {"200": _json("The counts.", "Stats"), **self._errors(404)},
            "x-codeSamples": [_sample("All counts", self._curl(f'"{self._links}/$code/stats"'))],
        }

    def _qr(self) -> Json:
        image_format = {
            "type": "string",
            "enum": list(qr_code.FORMATS),
            "default": qr_code.FORMATS[0],
        }
        scale = _integer(qr_code.SCALE_MAX, qr_code.SCALE_DEFAULT)
        image = {"schema": {"type": "string"}}
        return {
            "operationId": "drawLink",
            "summary": "Draw its QR code",
            "description": f"Counts as {qr_code.RATE_COST} requests.",
            "parameters": [
                _query("format", "The image format.", image_format),
                _query("scale", "Pixels per module.", scale),
            ],
            "responses": {
                "200": {
                    "description": "The image.",
                    "content": {
                        qr_code.MEDIA_TYPES["svg"]: image,
                        qr_code.MEDIA_TYPES["png"]: {},
                    },
                },
                **self._errors(404, 422),
            },
            "x-codeSamples": [
                _sample(
                    "As a file",
                    self._curl(f'"{self._links}/$code/qr?format=png"', "-o link.png"),
                )
            ],
        }

    def _follow(self) -> Json:
        def header(description: str) -> Json:
            return {"description": description, "schema": {"type": "string"}}

        return {
            "operationId": "followLink",
            "summary": "Follow a link",
            "description": "Redirects a visitor. HEAD does the same without counting a click. "
            "Codes are case-sensitive; a slash after the code is ignored. A query is not passed "
            "on to the target.",
            "security": [],
            "responses": {
                "302": {
                    "description": "Redirect to the target.",
                    "headers": {
                        "Location": header("The target."),
                        "X-Link-Version": header("The link's version."),
                        "X-Click-Id": header("The id of the counted click."),
                    },
                },
                **{
                    code: ref("responses", code)
                    for code in ("400", "404", "405", "410", "414", "431", "503")
                },
            },
            "x-codeSamples": [_sample("Show the target", f'curl -sSi "{self._facts.base}/$code"')],
        }


def _sample(label: str, source: str) -> Json:
    return {"lang": "Shell", "label": label, "source": source}


def _data(members: str) -> tuple[str, str]:
    return "-H 'Content-Type: application/json'", f"-d '{members}'"


def _json(description: str, schema: str, **headers: str) -> Json:
    return {
        "description": description,
        "headers": {name: ref("headers", which) for name, which in headers.items()},
        "content": {"application/json": {"schema": ref("schemas", schema)}},
    }


def _json_body(schema: str) -> Json:
    return {"required": True, "content": {"application/json": {"schema": ref("schemas", schema)}}}


def _code_parameter() -> Json:
    return {
        "name": "code",
        "in": "path",
        "required": True,
        "description": "The link's code.",
        "schema": {"type": "string", "pattern": answers.CODE_PATTERN},
    }


def _integer(maximum: int, default: int) -> Json:
    return {"type": "integer", "minimum": 1, "maximum": maximum, "default": default}


def _query(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _idempotency_key() -> Json:
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "1 to 200 visible ASCII characters, unique to this request.",
        "schema": {"type": "string", "pattern": validation.KEY_PATTERN},
    }


def _if_match() -> Json:
    return {
        "name": "If-Match",
        "in": "header",
        "description": 'The expected ETag, such as "1", or several, or *.',
        "schema": {"type": "string", "pattern": validation.TAGS_PATTERN},
    }
