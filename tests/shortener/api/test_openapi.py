"""The OpenAPI document: valid, complete, equal to validation, and fully shown on the page."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR
from starlette.routing import Route

from stack.shortener.api import aliases, answers, validation
from stack.shortener.api.openapi import document
from stack.shortener.api.resources import Resource
from stack.shortener.http import targets
from stack.shortener.settings import WebSettings
from tests.support.asgi_client import ask
from tests.support.fake_links import ADDRESSES, fake_api

JSON = {"Content-Type": "application/json"}
LINK = b'{"url": "https://example.org/"}'
OPEN = WebSettings(**ADDRESSES, api_rate_per_s=0, bulk_max_links=1)
GUARDED = WebSettings(**ADDRESSES, require_api_key=True, api_rate_per_s=50)


@pytest.fixture
def described() -> Any:
    return ask(fake_api().app, "GET", "/openapi.json").json()


def operations(described: Any) -> Iterator[tuple[str, str, Any]]:
    for path, item in described["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method.upper(), operation


def parts(of: Any) -> Iterator[dict[str, Any]]:
    if isinstance(of, dict):
        yield of
    for part in of.values() if isinstance(of, dict) else of if isinstance(of, list) else ():
        yield from parts(part)


def resolved(described: Any, part: Any) -> Any:
    if "$ref" not in part:
        return part
    found = described
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


@pytest.mark.parametrize("settings", [OPEN, GUARDED])
def test_it_is_valid_and_every_reference_leads_somewhere(settings: WebSettings) -> None:
    described = document("https://s.example", settings)
    OPENAPI_31_VALIDATOR.validate(described)
    for part in parts(described):
        resolved(described, part)
    for schema in described["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_it_describes_every_endpoint_and_no_other(described: Any) -> None:
    app = fake_api().app
    routes = {
        (route.path, method)
        for route in app._router.routes
        if isinstance(route, Route) and route.path.startswith("/api/")
        if isinstance(route.app, Resource)
        for method in route.app._endpoints
    }
    told = {(path, method) for path, method, _ in operations(described)}
    assert told == routes | {("/{code}", "GET")}


def test_what_is_checked_is_what_it_shows(described: Any) -> None:
    schemas = described["components"]["schemas"]
    new = schemas["NewLink"]["properties"]
    assert new["url"]["pattern"] == targets.PATTERN
    assert new["alias"]["pattern"] == aliases.PATTERN
    assert schemas["Page"]["properties"]["next"]["pattern"] == validation.CURSOR_PATTERN
    assert schemas["NewLinks"]["properties"]["links"]["maxItems"] == 100


@pytest.mark.parametrize(
    ("method", "path", "body", "template"),
    [
        ("POST", "/api/links", LINK, "/api/links"),
        ("GET", "/api/links", b"", "/api/links"),
        ("POST", "/api/links/bulk", b'{"links": [%b]}' % LINK, "/api/links/bulk"),
        ("GET", "/api/links/known", b"", "/api/links/{code}"),
        ("PATCH", "/api/links/known", b'{"disabled": true}', "/api/links/{code}"),
        ("DELETE", "/api/links/known", b"", "/api/links/{code}"),
        ("GET", "/api/links/known/stats", b"", "/api/links/{code}/stats"),
        ("GET", "/api/links/known/qr", b"", "/api/links/{code}/qr"),
        ("GET", "/api/links/nobody", b"", "/api/links/{code}"),
        ("POST", "/api/links", b"{", "/api/links"),
        ("POST", "/api/links", b'{"url": "x", "more": 1}', "/api/links"),
    ],
)
def test_answers_are_as_described(
    described: Any, method: str, path: str, body: bytes, template: str
) -> None:
    answer = ask(fake_api().app, method, path, JSON, body)
    operation = described["paths"][template][method.lower()]
    response = resolved(described, operation["responses"][str(answer.status)])
    for name, header in response.get("headers", {}).items():
        if resolved(described, header).get("required"):
            assert name.lower() in answer.headers
    content = response.get("content", {})
    if not content:
        assert not answer.body
        return
    schema = content[answer.headers["content-type"]].get("schema")
    if schema and "json" in answer.headers["content-type"]:
        whole = {**schema, "components": described["components"]}
        Draft202012Validator(whole).validate(answer.json())
        model = getattr(answers, schema["$ref"].rpartition("/")[2])
        model.model_validate_json(answer.body, strict=True)


def test_keys_and_rates_are_in_it_where_they_are_in_force() -> None:
    open_to_all = document("http://x", OPEN)
    assert "security" not in open_to_all
    for _, _, operation in operations(open_to_all):
        assert not {"401", "429"} & set(operation["responses"])
    guarded = document("https://s.example", GUARDED)
    for path, _, operation in operations(guarded):
        needs = path.startswith("/api/")
        assert (operation.get("security") != []) == needs
        assert {"401", "429"} <= set(operation["responses"]) or not needs
        for sample in operation["x-codeSamples"]:
            assert ("$key" in sample["source"]) == needs


class Tags(HTMLParser):
    """Collects tags and attributes of a page, and checks that tags are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.ids: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("settings", [{}, {"require_api_key": True}])
def test_the_page_shows_every_operation_and_example(settings: dict[str, Any]) -> None:
    app = fake_api(**settings).app
    described = ask(app, "GET", "/openapi.json").json()
    page = ask(app, "GET", "/docs").body.decode()
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    shown = html.unescape(page)
    for path, _, operation in operations(described):
        assert path in shown
        assert operation["operationId"] in tags.ids
        assert all(sample["source"] in shown for sample in operation["x-codeSamples"])
    assert ("key=" in page) == bool(settings)


def test_the_page_runs_no_script_and_loads_nothing() -> None:
    page = ask(fake_api().app, "GET", "/docs").body.decode()
    tags = Tags()
    tags.feed(page)
    assert not tags.seen & {"script", "link", "img", "iframe", "object", "form"}
    assert not [name for name, _ in tags.attributes if name in ("src", "style") or name[:2] == "on"]
    links = [value or "" for name, value in tags.attributes if name == "href"]
    assert all(link.startswith("#") or link == "/openapi.json" for link in links)
    assert "url(" not in page
    assert "@import" not in page


def test_a_host_that_somebody_made_up_is_only_text_on_the_page() -> None:
    app = fake_api(public_url="https://s.example/<script>").app
    assert "<script" not in ask(app, "GET", "/docs").body.decode()
    assert ask(fake_api().app, "GET", "/docs", {"Host": "<script>"}).status == 400


def test_the_examples_fit_in_a_terminal() -> None:
    for _, _, operation in operations(document("https://s.example", GUARDED)):
        for sample in operation["x-codeSamples"]:
            assert max(map(len, sample["source"].splitlines())) <= 100
            assert not re.search(r"\s$", sample["source"])
