"""Components of the OpenAPI document: schemas, headers and errors."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from stack.shortener.api import answers, bodies
from stack.shortener.http import problems
from stack.shortener.settings import WebSettings

Json = dict[str, Any]


def ref(kind: str, name: str) -> Json:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def schemas(settings: WebSettings) -> Json:
    """Schemas of requests and responses, from the models that validate and serialise them."""
    requests = (bodies.NewLink, bodies.LinkChange, bodies.bulk_body(settings.bulk_max_links))
    _, found = models_json_schema(
        [(model, "validation") for model in (*requests, *answers.MODELS)],
        ref_template="#/components/schemas/{model}",
    )
    for body in found["$defs"].values():
        body["properties"] = {name: _member(each) for name, each in body["properties"].items()}
        del body["title"]
        body.pop("description", None)
    schemas: Json = found["$defs"]
    return schemas


def _member(schema: Json) -> Json:
    """Without title and default, and with `null` as one of the types instead of `anyOf`."""
    kind, *null = schema.pop("anyOf", [{}])
    types = {"type": [kind["type"], "null"]} if null else {}
    merged = {**schema, **kind, **types}
    return {name: merged[name] for name in merged if name not in ("title", "default")}


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


def errors(settings: WebSettings) -> Json:
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
            f"The body is longer than {settings.api_body_max_bytes} bytes, "
            f"or {settings.bulk_body_max_bytes} for many links."
        ),
        "414": problem("The address is too long."),
        "415": problem("The body must be application/json, and not compressed."),
        "422": problem("The request is well-formed, but a value in it is not valid."),
        "429": problem("Too many requests.", Retry_After="RetryAfter"),
        "431": problem("The headers are too long."),
        "503": problem(
            "Too many requests in flight, or the database is down. With `X-Outcome: unknown` a "
            "change may have been made.",
            Retry_After="RetryAfter",
        ),
    }
