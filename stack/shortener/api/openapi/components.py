"""The components of the description: schemas, headers and errors."""

from __future__ import annotations

from typing import Any

from stack.shortener.api import aliases, validation
from stack.shortener.api.openapi.facts import DeploymentFacts, Json, ref
from stack.shortener.http import problems, targets
from stack.shortener.infra import codes

_TIME: Json = {"type": "string", "format": "date-time"}
_COUNT: Json = {"type": "integer", "minimum": 0}
CODE: Json = {"type": "string", "pattern": f"^{codes.CODE.pattern}$"}
_URL: Json = {
    "type": "string",
    "maxLength": targets.LONGEST,
    "pattern": targets.PATTERN,
    "examples": ["https://example.org/page"],
    "description": "Where the link leads: an http or https address without user and password, "
    "and not one of ours. What may not stand in an address as it is (other scripts, `|`, `^`, a "
    "stray `%`) is percent-encoded; then it is at most 2048 characters long.",
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
    "maximum": validation.MOST_CLICKS,
    "examples": [1000],
    "description": "How many redirects the link is good for, exactly; null: no limit.",
}
_DISABLED: Json = {"type": "boolean", "description": "Whether the link is switched off."}


def _object(required: list[str], properties: Json, **more: Any) -> Json:
    fixed = {"type": "object", "additionalProperties": False}
    return {**fixed, "required": required, "properties": properties, **more}


def schemas(facts: DeploymentFacts) -> Json:
    """What requests and answers look like."""
    link: Json = {
        "code": {**CODE, "description": "What stands after the slash."},
        "short_url": {"type": "string", "description": "The address to give away."},
        "url": {"type": "string", "description": "Where it leads, as it is sent to visitors."},
        "version": {
            "type": "integer",
            "minimum": 1,
            "description": "Counts the changes; the ETag is this number in quotes.",
        },
        "disabled": _DISABLED,
        "expires_at": _EXPIRY,
        "max_clicks": _LIMIT,
        "uses": {**_COUNT, "description": "Redirects so far, counted while there is a limit."},
        "created_at": {**_TIME, "description": "When it was made."},
        "updated_at": {**_TIME, "description": "When it was last changed."},
    }
    new = {"url": _URL, "alias": _ALIAS, "expires_at": _EXPIRY, "max_clicks": _LIMIT}
    new["expires_at"] = {**_EXPIRY, "description": "When the link ends, still ahead; null: never."}
    change = {"url": _URL, "disabled": _DISABLED, "expires_at": _EXPIRY, "max_clicks": _LIMIT}
    day = {"day": {"type": "string", "format": "date"}, "total": _COUNT, "bots": _COUNT}
    referrer = {"referrer": {"type": "string"}, "total": _COUNT}
    wrong = {"pointer": {"type": "string"}, "detail": {"type": "string"}}
    links = {"type": "array", "items": ref("schemas", "Link")}
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
                    "maxItems": facts.bulk_max_links,
                    "items": ref("schemas", "NewLink"),
                    "description": f"1 to {facts.bulk_max_links} links.",
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
                    "pattern": validation.CURSOR_PATTERN,
                    "description": "What to give as `after` for the next page; null: no more.",
                },
            },
        ),
        "Stats": _object(
            ["code", "total", "bots", "visitors", "days", "referrers"],
            {
                "code": CODE,
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


def headers() -> Json:
    """The headers of answers."""

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


def errors(facts: DeploymentFacts) -> Json:
    """Every error there is, by name; all have the same form."""
    form = {"schema": ref("schemas", "Problem")}
    content = {problems.MEDIA_TYPE: form, "text/html": {"schema": {"type": "string"}}}

    def problem(description: str, **headers: str) -> Json:
        found = {name.replace("_", "-"): ref("headers", which) for name, which in headers.items()}
        return {"description": description, "content": content, "headers": found}

    return {
        "400": problem("The request is malformed: its JSON, its If-Match, Host or address."),
        "401": problem("An API key is needed.", WWW_Authenticate="Challenge"),
        "404": problem("There is no such link."),
        "405": problem("This address has no such method.", Allow="Allow"),
        "408": problem("The body did not come in time."),
        "409": problem("The alias is taken; `errors` says which."),
        "410": problem("The link has ended: expired, used up or switched off."),
        "412": problem("The link is at no version that If-Match names.", ETag="ETag"),
        "413": problem(
            f"The body is longer than {facts.body_longest} bytes, "
            f"or {facts.bulk_body_max_bytes} for many links."
        ),
        "414": problem("The address is too long."),
        "415": problem("The body must be application/json, and not compressed."),
        "422": problem("The request is well-formed, but says something that can't be done."),
        "429": problem("Too many requests.", Retry_After="RetryAfter"),
        "431": problem("The headers are too long."),
        "503": problem("Too much is under way, or the database is away.", Retry_After="RetryAfter"),
    }
