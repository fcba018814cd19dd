"""The API's description (OpenAPI 3.1), made from the very patterns and limits that are checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from stack.shortener import __version__, aliases, inputs, problems, qr, targets

CODE_PATTERN = "^[A-Za-z0-9_-]{1,64}$"

_ABOUT = """Short links: made and changed here, followed at `/{code}`. Every error is a problem \
document (RFC 9457) that says what is wrong and where; a browser gets it as a page."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Facts:
    """What differs between deployments."""

    base: str
    needs_key: bool
    is_rate_limited: bool
    bulk_longest: int
    body_longest: int
    bulk_body_longest: int


def document(facts: Facts) -> Json:
    """The whole description."""
    document: Json = {
        "openapi": "3.1.0",
        "info": {"title": "URL shortener", "version": __version__, "description": _ABOUT},
        "servers": [{"url": facts.base}],
        "paths": _Paths(facts).all(),
        "components": {
            "schemas": _schemas(facts),
            "headers": _headers(),
            "responses": _problems(facts),
        },
    }
    if facts.needs_key:
        document["security"] = [{"key": []}]
        document["components"]["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "description": "An API key."}
        }
    return document


def _ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _object(required: list[str], properties: Json, **more: Any) -> Json:
    fixed = {"type": "object", "additionalProperties": False}
    return {**fixed, "required": required, "properties": properties, **more}


_TIME: Json = {"type": "string", "format": "date-time"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_CODE: Json = {"type": "string", "pattern": CODE_PATTERN}
_URL: Json = {
    "type": "string",
    "maxLength": targets.LONGEST,
    "pattern": targets.PATTERN,
    "examples": ["https://example.org/page"],
    "description": "Where the link leads: an http or https address without user and password, "
    "at most 2048 characters once other scripts are percent-encoded, and not one of ours.",
}
_ALIAS: Json = {
    "type": ["string", "null"],
    "pattern": aliases.PATTERN,
    "examples": ["spring-sale"],
    "description": "The code that you would like; otherwise it is random. Reserved words and what "
    "looks like one are refused.",
}
_EXPIRY: Json = {
    **_TIME,
    "type": ["string", "null"],
    "examples": ["2099-12-31T23:59:59Z"],
    "description": "When the link ends, with its offset from UTC; null: never.",
}
_LIMIT: Json = {
    "type": ["integer", "null"],
    "minimum": 1,
    "maximum": inputs.MOST_CLICKS,
    "examples": [1000],
    "description": "How many redirects the link is good for, exactly; null: no limit.",
}
_DISABLED: Json = {"type": "boolean", "description": "Whether the link is switched off."}


def _schemas(facts: Facts) -> Json:
    link: Json = {
        "code": {**_CODE, "description": "What stands after the slash."},
        "short_url": {"type": "string", "description": "The address to give away."},
        "url": {"type": "string", "description": "Where it leads."},
        "version": {
            "type": "integer",
            "minimum": 1,
            "description": "Counts the changes; the ETag is this number in quotes.",
        },
        "disabled": _DISABLED,
        "expires_at": _EXPIRY,
        "max_clicks": _LIMIT,
        "uses": {**_COUNT, "description": "Redirects so far, counted while there is a limit."},
        "created_at": _TIME,
        "updated_at": _TIME,
    }
    new = {"url": _URL, "alias": _ALIAS, "expires_at": _EXPIRY, "max_clicks": _LIMIT}
    new["expires_at"] = {**_EXPIRY, "description": "When the link ends, still ahead; null: never."}
    change = {"url": _URL, "disabled": _DISABLED, "expires_at": _EXPIRY, "max_clicks": _LIMIT}
    day = {"day": {"type": "string", "format": "date"}, "total": _COUNT, "bots": _COUNT}
    referrer = {"referrer": {"type": "string"}, "total": _COUNT}
    wrong = {"pointer": {"type": "string"}, "detail": {"type": "string"}}
    links = {"type": "array", "items": _ref("schemas", "Link")}
    return {
        "Link": _object(list(link), link),
        "NewLink": _object(["url"], new),
        "Change": _object([], change, minProperties=1),
        "NewLinks": _object(
            ["links"],
            {
                "links": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": facts.bulk_longest,
                    "items": _ref("schemas", "NewLink"),
                    "description": f"1 to {facts.bulk_longest} links.",
                }
            },
        ),
        "Links": _object(["links"], {"links": links}),
        "Page": _object(
            ["links", "next"],
            {
                "links": links,
                "next": {
                    "type": ["string", "null"],
                    "pattern": inputs.CURSOR_PATTERN,
                    "description": "What to give as `after` for the next page; null: no more.",
                },
            },
        ),
        "Stats": _object(
            ["code", "total", "bots", "visitors", "days", "referrers"],
            {
                "code": _CODE,
                "total": {**_COUNT, "description": "Clicks of people and bots."},
                "bots": {**_COUNT, "description": "Clicks that a program made, as far as it says."},
                "visitors": {
                    **_COUNT,
                    "description": "How many different people, within some per cent.",
                },
                "days": {
                    "type": "array",
                    "items": _object(list(day), day),
                    "description": "Clicks by day (UTC), newest first; at most 366 days.",
                },
                "referrers": {
                    "type": "array",
                    "items": _object(list(referrer), referrer),
                    "description": "The 50 sites that most clicks came from; '' is no site.",
                },
            },
        ),
        "Problem": _object(
            ["type", "title", "status", "detail"],
            {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer", "minimum": 400, "maximum": 599},
                "detail": {"type": "string"},
                "errors": {
                    "type": "array",
                    "minItems": 1,
                    "items": _object(list(wrong), wrong),
                    "description": "Which members of the request are wrong, by JSON pointer.",
                },
            },
        ),
    }


def _headers() -> Json:
    def header(description: str, schema: Json) -> Json:
        return {"description": description, "required": True, "schema": schema}

    seconds: Json = {"type": "integer", "minimum": 1}
    version: Json = {"type": "string", "pattern": '^"[0-9]+"$'}
    return {
        "ETag": header("The link's version, for If-Match.", version),
        "RetryAfter": header("Seconds to wait before the next try.", seconds),
        "Allow": header("The methods of this address.", {"type": "string"}),
        "Location": header("The address of the new link in this API.", {"type": "string"}),
        "Challenge": header("How to show a key.", {"const": "Bearer"}),
        "Next": {
            "description": "The address of the next page, as rel=next, if there is one.",
            "schema": {"type": "string"},
        },
    }


def _problems(facts: Facts) -> Json:
    """Every error there is, by name; all have the same form."""
    form = {"schema": _ref("schemas", "Problem")}
    content = {problems.MEDIA_TYPE: form, "text/html": {"schema": {"type": "string"}}}

    def problem(description: str, **headers: str) -> Json:
        found = {name.replace("_", "-"): _ref("headers", ref) for name, ref in headers.items()}
        return {"description": description, "content": content, "headers": found}

    return {
        "400": problem("The request is malformed: its JSON, its If-Match or its Host."),
        "401": problem("An API key is needed.", WWW_Authenticate="Challenge"),
        "404": problem("There is no such link."),
        "405": problem("This address has no such method.", Allow="Allow"),
        "408": problem("The body did not come in time."),
        "409": problem("The alias is taken; `errors` says which."),
        "410": problem("The link has ended: expired, used up or switched off."),
        "412": problem("The link has changed since the version in If-Match.", ETag="ETag"),
        "413": problem(
            f"The body is longer than {facts.body_longest} bytes, "
            f"or {facts.bulk_body_longest} for many links."
        ),
        "414": problem("The address is too long."),
        "415": problem("The body must be application/json, and not compressed."),
        "422": problem("The request is well-formed, but says something that can't be done."),
        "429": problem("Too many requests.", Retry_After="RetryAfter"),
        "431": problem("The headers are too long."),
        "503": problem("The database can't be reached just now.", Retry_After="RetryAfter"),
    }


class _Paths:
    """The operations, each with examples that can be pasted into a shell."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._links = f"{facts.base}/api/links"
        self._link = f'"{self._links}/$code"'

    def all(self) -> Json:
        """All of them, by path and method, in an order in which the examples work."""
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
        """A call of curl, with an option a line."""
        key = ['-H "Authorization: Bearer $key"'] if self._facts.needs_key else []
        return " \\\n  ".join([f"curl -sS {address}", *key, *options])

    def _errors(self, *codes: int) -> Json:
        common = [400, 405, 414, 431, 503]
        if self._facts.needs_key:
            common.append(401)
        if self._facts.is_rate_limited:
            common.append(429)
        return {str(code): _ref("responses", str(code)) for code in sorted({*codes, *common})}

    def _create(self) -> Json:
        page = _data('{"url": "https://example.org/page"}')
        return {
            "operationId": "createLink",
            "summary": "Make a link",
            "description": "With an Idempotency-Key it is safe to send again when an answer was "
            "lost: the same request gets the same link.",
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
                    "With an alias, an end, and a limit",
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
        limit = {
            "type": "integer",
            "minimum": 1,
            "maximum": inputs.PAGE_LONGEST,
            "default": inputs.PAGE_DEFAULT,
        }
        after = {"type": "string", "pattern": inputs.CURSOR_PATTERN}
        return {
            "operationId": "listLinks",
            "summary": "List links",
            "description": "Newest first. Links that are made meanwhile move no later page.",
            "parameters": [
                _query("limit", "How many links at most.", limit),
                _query("after", "The `next` of the page before.", after),
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
            "summary": "Make many links",
            "description": "All of them or none: if one is wrong or its alias is taken, `errors` "
            "points at each such one. Each link counts as a request.",
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
            "description": "Changes what is given and nothing else. With If-Match it is refused if "
            "somebody else was faster. An end in the past ends the link at once.",
            "parameters": [_if_match()],
            "requestBody": _json_body("Change"),
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
                    "On again, for ever",
                    patch('{"disabled": false, "expires_at": null, "max_clicks": null}'),
                ),
            ],
        }

    def _delete(self) -> Json:
        return {
            "operationId": "deleteLink",
            "summary": "Delete a link",
            "description": "For good: its code is never given to anybody again.",
            "parameters": [_if_match()],
            "responses": {"204": {"description": "It is deleted."}, **self._errors(404, 412)},
            "x-codeSamples": [
                _sample("Whatever its version", self._curl(f"-i -X DELETE {self._link}"))
            ],
        }

    def _stats(self) -> Json:
        return {
            "operationId": "readStats",
            "summary": "Count its clicks",
            "description": "What was counted so far; a click is counted within a second or so.",
            "responses": {"200": _json("The counts.", "Stats"), **self._errors(404)},
            "x-codeSamples": [_sample("All counts", self._curl(f'"{self._links}/$code/stats"'))],
        }

    def _qr(self) -> Json:
        form = {"type": "string", "enum": list(qr.FORMATS), "default": qr.FORMATS[0]}
        scale = {
            "type": "integer",
            "minimum": 1,
            "maximum": qr.SCALE_MOST,
            "default": qr.SCALE_DEFAULT,
        }
        picture = {"schema": {"type": "string"}}
        return {
            "operationId": "drawLink",
            "summary": "Draw its QR code",
            "description": f"It counts as {qr.WORTH} requests.",
            "parameters": [
                _query("format", "The kind of picture.", form),
                _query("scale", "Pixels to a module.", scale),
            ],
            "responses": {
                "200": {
                    "description": "The picture.",
                    "content": {qr.MEDIA_TYPES["svg"]: picture, qr.MEDIA_TYPES["png"]: {}},
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
            "description": "What visitors do. HEAD does the same, but is no click.",
            "security": [],
            "responses": {
                "302": {
                    "description": "To the target.",
                    "headers": {
                        "Location": header("The target."),
                        "X-Link-Version": header("The link's version."),
                        "X-Click-Id": header("The id under which the click is counted."),
                    },
                },
                **{code: _ref("responses", code) for code in ("400", "404", "405", "410", "503")},
            },
            "x-codeSamples": [_sample("Where it leads", f'curl -sSi "{self._facts.base}/$code"')],
        }


def _sample(label: str, source: str) -> Json:
    return {"lang": "Shell", "label": label, "source": source}


def _data(members: str) -> tuple[str, str]:
    return "-H 'Content-Type: application/json'", f"-d '{members}'"


def _json(description: str, schema: str, **headers: str) -> Json:
    return {
        "description": description,
        "headers": {name: _ref("headers", ref) for name, ref in headers.items()},
        "content": {"application/json": {"schema": _ref("schemas", schema)}},
    }


def _json_body(schema: str) -> Json:
    return {"required": True, "content": {"application/json": {"schema": _ref("schemas", schema)}}}


def _code_parameter() -> Json:
    return {
        "name": "code",
        "in": "path",
        "required": True,
        "description": "The link's code.",
        "schema": _CODE,
    }


def _query(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _idempotency_key() -> Json:
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Any text of 1 to 200 visible characters that you use for this one request.",
        "schema": {"type": "string", "pattern": inputs.KEY_PATTERN},
    }


def _if_match() -> Json:
    return {
        "name": "If-Match",
        "in": "header",
        "description": 'The ETag that the change is meant for, as "1", or several, or *.',
        "schema": {"type": "string", "pattern": inputs.TAGS_PATTERN},
    }


def as_bytes(document: Json) -> bytes:
    """The description as JSON."""
    return json.dumps(document).encode()
