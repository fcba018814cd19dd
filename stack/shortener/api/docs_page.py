"""The API documentation as an HTML page, rendered from the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from stack.shortener.http import pages

Json = Mapping[str, Any]


def render(document: Json) -> bytes:
    """The document as a page."""
    return pages.page(document["info"]["title"], _Page(document).html())


class _Page:
    """Renders parts of the document as HTML."""

    def __init__(self, document: Json) -> None:
        self._document = document

    def html(self) -> str:
        info = self._document["info"]
        operations = list(self._operations())
        index = "".join(_entry(method, operation) for method, _, operation in operations)
        sections = "".join(self._section(*operation) for operation in operations)
        return (
            f'<div class="docs">\n<header><h1>{escape(info["title"])}</h1>\n'
            f"<p>{_prose(info['description'])}</p>\n{self._key()}"
            '<p class="quiet">Machine-readable: <a href="/openapi.json">openapi.json</a> '
            f"(OpenAPI {escape(self._document['openapi'])}).</p>\n</header>\n"
            f"<nav><ul>{index}</ul></nav>\n<main>{sections}</main>\n</div>"
        )

    def _key(self) -> str:
        if "security" not in self._document:
            return ""
        return (
            "<p>Everything but following a link needs an API key. The examples read it from "
            "a variable:</p>\n<pre>key=…</pre>\n"
        )

    def _operations(self) -> Iterator[tuple[str, str, Json]]:
        for path, item in self._document["paths"].items():
            shared = item.get("parameters", [])
            for method in item:
                if method != "parameters":
                    operation = item[method]
                    mine = [*shared, *operation.get("parameters", [])]
                    yield method, path, {**operation, "parameters": mine}

    def _section(self, method: str, path: str, operation: Json) -> str:
        name = escape(operation["operationId"])
        about = operation.get("description", "")
        return (
            f'<section id="{name}">\n<h2>{escape(operation["summary"])}</h2>\n'
            f'<p class="route"><span class="{method}">{method.upper()}</span> {escape(path)}</p>\n'
            + (f"<p>{_prose(about)}</p>\n" if about else "")
            + "".join(map(_sample, operation["x-codeSamples"]))
            + self._request(operation)
            + self._responses(operation["responses"])
            + "</section>\n"
        )

    def _request(self, operation: Json) -> str:
        parameters = "".join(
            _row(each["name"], f"{each['in']}, {_kind(each['schema'])}", each["description"])
            for each in operation["parameters"]
        )
        html = _table("Parameters", parameters)
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            html += _table("Body", self._members(schema))
        return html

    def _responses(self, responses: Json) -> str:
        rows = ""
        members = ""
        for status, response in responses.items():
            found = self._resolved(response)
            headers = ", ".join(found.get("headers", {}))
            rows += _row(status, headers, found["description"])
            schema = found.get("content", {}).get("application/json", {}).get("schema")
            if schema:
                members = _folded("Answer", self._members(schema))
        return members + _folded("Statuses", rows)

    def _members(self, schema: Json) -> str:
        found = self._resolved(schema)
        required = found.get("required", ())
        rows = ""
        for name, member in found["properties"].items():
            kind = self._kind_of(member)
            if "minProperties" not in found and name not in required:
                kind += ", optional"
            rows += _row(name, kind, member.get("description", ""))
        return rows

    def _kind_of(self, schema: Json) -> str:
        if schema.get("type") != "array":
            return _kind(schema)
        if schema["items"]["$ref"].endswith("Link"):
            return "list of links"
        return "list of {" + ", ".join(self._resolved(schema["items"])["properties"]) + "}"

    def _resolved(self, part: Json) -> Json:
        if "$ref" not in part:
            return part
        found: Any = self._document
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return self._resolved(found)


def _entry(method: str, operation: Json) -> str:
    return (
        f'<li><a href="#{escape(operation["operationId"])}">'
        f'<span class="method {method}">{method.upper()}</span>'
        f"<span>{escape(operation['summary'])}</span></a></li>"
    )


def _sample(sample: Json) -> str:
    return (
        f'<p class="caption">{escape(sample["label"])}</p>\n'
        f'<pre tabindex="0"><code>{escape(sample["source"], quote=False)}</code></pre>\n'
    )


def _table(title: str, rows: str) -> str:
    return f"<h3>{title}</h3>\n<dl>{rows}</dl>\n" if rows else ""


def _folded(title: str, rows: str) -> str:
    return f"<details><summary>{title}</summary><dl>{rows}</dl></details>\n"


def _row(name: str, kind: str, about: str) -> str:
    small = f'<span class="kind">{escape(kind)}</span>' if kind else ""
    return f"<dt><code>{escape(name)}</code>{small}</dt><dd>{_prose(about)}</dd>\n"


def _kind(schema: Json) -> str:
    """A schema in a few words, such as "integer or null, 1 to 100"."""
    if "enum" in schema:
        words = " or ".join(schema["enum"])
    else:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        words = " or ".join(kinds)
        if schema.get("format") == "date-time":
            words = words.replace("string", "time")
    if "maximum" in schema:
        words += f", {schema['minimum']:,} to {schema['maximum']:,}"
    if "default" in schema:
        words += f", default {schema['default']}"
    return words


def _prose(text: str) -> str:
    """HTML of a text in which backticks mark code."""
    parts = escape(text, quote=False).split("`")
    return "".join(f"<code>{part}</code>" if odd % 2 else part for odd, part in enumerate(parts))
