"""Components of the OpenAPI document: schemas, headers and errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic.json_schema import models_json_schema

from stack.shortener.api import bodies as models
from stack.shortener.api import validation
from stack.shortener.api.link_statistics import DAYS_MAX, REFERRERS_MAX
from stack.shortener.http import problems
from stack.shortener.infra import codes

Json = dict[str, Any]

_TIME: Json = {"type": "string", "format": "date-time"}
_COUNT: Json = {"type": "integer", "minimum": 0}
CODE: Json = {"type": "string", "pattern": f"^{codes.CODE.pattern}$"}


@dataclass(frozen=True)
class DeploymentFacts:
    """Values that differ between deployments."""

    base: str
    needs_key: bool
    is_rate_limited: bool
    bulk_max_links: int
    api_body_max_bytes: int
    bulk_body_max_bytes: int


def ref(kind: str, name: str) -> Json:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def _bodies(facts: DeploymentFacts) -> Json:
    """Schemas of request bodies, from the models that validate them."""
    used = (models.NewLink, models.LinkChange, models.bulk_body(facts.bulk_max_links))
    _, found = models_json_schema(
        [(model, "validation") for model in used], ref_template="#/components/schemas/{model}"
    )
    for body in found["$defs"].values():
        body["properties"] = {name: _member(each) for name, each in body["properties"].items()}
        del body["title"]
        body.pop("description", None)
    bodies: Json = found["$defs"]
    return bodies


def _member(schema: Json) -> Json:
    """Without title and default, and with `null` as one of the types instead of `anyOf`."""
    kind, *null = schema.pop("anyOf", [{}])
    types = {"type": [kind["type"], "null"]} if null else {}
    merged = {**schema, **kind, **types}
    return {name: merged[name] for name in merged if name not in ("title", "default")}


def _object(properties: Json, optional: str = "") -> Json:
    fixed = {"type": "object", "additionalProperties": False}
    required = [name for name in properties if name != optional]
    return {**fixed, "required": required, "properties": properties}


def schemas(facts: DeploymentFacts) -> Json:
    """Schemas of requests and responses."""
    bodies = _bodies(facts)
    change = bodies["LinkChange"]["properties"]
    link: Json = {
        "code": {**CODE, "description": "The path of the short link."},
        "short_url": {"type": "string", "description": "The short link as a whole address."},
        "url": {"type": "string", "description": "The target, as sent to visitors."},
        "version": {
            "type": "integer",
            "minimum": 1,
            "description": "Incremented by each change; the ETag is this number in quotes.",
        },
        "disabled": change["disabled"],
        "expires_at": change["expires_at"],
        "max_clicks": change["max_clicks"],
        "uses": {
            **_COUNT,
            "description": "Redirects so far, counted only while `max_clicks` is set.",
        },
        "created_at": {**_TIME, "description": "Time of creation."},
        "updated_at": {**_TIME, "description": "Time of the last change."},
    }
    day = {"day": {"type": "string", "format": "date"}, "total": _COUNT, "bots": _COUNT}
    referrer = {"referrer": {"type": "string"}, "total": _COUNT}
    wrong = {"pointer": {"type": "string"}, "detail": {"type": "string"}}
    links = {"type": "array", "items": ref("schemas", "Link")}
    return {
        "Link": _object(link),
        **bodies,
        "Links": _object({"links": links}),
        "Page": _object(
            {
                "links": links,
                "next": {
                    "type": ["string", "null"],
                    "pattern": validation.CURSOR_PATTERN,
                    "description": "The value of `after` for the next page; null on the last page.",
                },
            },
        ),
        "Stats": _object(
            {
                "code": CODE,
                "total": {**_COUNT, "description": "Clicks of people and bots."},
                "bots": {
                    **_COUNT,
                    "description": "Clicks of programs that identify themselves as such.",
                },
                "visitors": {
                    **_COUNT,
                    "description": "Estimated number of distinct people, within a few per cent.",
                },
                "days": {
                    "type": "array",
                    "items": _object(day),
                    "description": f"Clicks by day (UTC), newest first; at most {DAYS_MAX} days.",
                },
                "referrers": {
                    "type": "array",
                    "items": _object(referrer),
                    "description": f"The {REFERRERS_MAX} sites with most clicks; '' is no site.",
                },
            },
        ),
        "Problem": _object(
            {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer", "minimum": 400, "maximum": 599},
                "detail": {"type": "string"},
                "errors": {
                    "type": "array",
                    "minItems": 1,
                    "items": _object(wrong),
                    "description": "The invalid members of the request, by JSON pointer.",
                },
            },
            optional="errors",
        ),
    }


def headers() -> Json:
    """Headers of responses."""

    def header(description: str, schema: Json) -> Json:
        return {"description": description, "required": True, "schema": schema}

    seconds: Json = {"type": "integer", "minimum": 1}
    version: Json = {"type": "string", "pattern": '^"[0-9]+"$'}
    return {
        "ETag": header("The link's version, for If-Match.", version),
        "RetryAfter": header("Seconds to wait before the next try.", seconds),
        "Allow": header("The methods of this address.", {"type": "string"}),
        "Location": header("The address of the new link in this API.", {"type": "string"}),
        "Challenge": header("The authentication scheme.", {"const": "Bearer"}),
        "Next": {
            "description": "The address of the next page, as rel=next, if there is one.",
            "schema": {"type": "string"},
        },
    }


def errors(facts: DeploymentFacts) -> Json:
    """Error responses by status, all with the same schema."""
    form = {"schema": ref("schemas", "Problem")}
    content = {problems.MEDIA_TYPE: form, "text/html": {"schema": {"type": "string"}}}

    def problem(description: str, **headers: str) -> Json:
        found = {name.replace("_", "-"): ref("headers", which) for name, which in headers.items()}
        return {"description": description, "content": content, "headers": found}

    return {
        "400": problem("The request is malformed: its JSON, its If-Match, Host or address."),
        "401": problem("An API key is needed.", WWW_Authenticate="Challenge"),
        "404": problem("There is no such link."),
        "405": problem("The method is not allowed here.", Allow="Allow"),
        "408": problem("The body was not received in time."),
        "409": problem("The alias is taken; `errors` names it."),
        "410": problem("The link has ended: expired, used up or switched off."),
        "412": problem("The link's version does not match If-Match.", ETag="ETag"),
        "413": problem(
            f"The body is longer than {facts.api_body_max_bytes} bytes, "
            f"or {facts.bulk_body_max_bytes} for many links."
        ),
        "414": problem("The address is too long."),
        "415": problem("The body must be application/json, and not compressed."),
        "422": problem("The request is well-formed, but a value in it is not valid."),
        "429": problem("Too many requests.", Retry_After="RetryAfter"),
        "431": problem("The headers are too long."),
        "503": problem(
            "Too many requests in flight, or the database is down.", Retry_After="RetryAfter"
        ),
    }
