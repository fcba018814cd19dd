"""Generated requests get only responses that the OpenAPI document describes."""

from __future__ import annotations

import hashlib
import http.client
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from chaos.model.stack import Stack
from stack.shortener.api.answers import Link, Links, Page, Problem, Stats
from tests.support.patience import PATIENT
from tests.support.shortener_webs import OwnWeb, webs
from tests.support.thorough import LONG_S, SCALE, counted, times

pytestmark = [pytest.mark.real, pytest.mark.timeout(LONG_S)]

LINKS = "/api/links"
OPERATIONS = 9
CASES = times(quick=7, thorough=10_000 // (2 * OPERATIONS) + 1)
REFUSED = {"expected-statuses": ["4xx"]}  # also 413, of which schemathesis does not think
REFUSALS = {"negative_data_rejection": REFUSED, "missing_required_header": REFUSED}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
ANSWERS: TypeAdapter[Any] = TypeAdapter(Link | Links | Page | Problem | Stats)
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.missing_required_header,
    checks.ignored_auth,
    checks.unsupported_method,
    checks.allow_header_conformance,
]


@pytest.fixture(scope="module")
def web(stack: Stack, logs: Path) -> Iterator[OwnWeb]:
    with webs(stack, logs, 1, {**PATIENT, "REQUIRE_API_KEY": "true"}) as (web,):
        yield web


@pytest.fixture(scope="module")
def session(stack: Stack) -> Iterator[requests.Session]:
    """A client with an API key."""
    key = f"lnk_{secrets.token_urlsafe(32)}"
    digest = hashlib.sha256(key.encode()).digest()
    with psycopg.connect(stack.endpoints.primary) as database:
        statement = "INSERT INTO api_keys (id, name, hash) VALUES (%s, 'schema', %s)"
        database.execute(statement, (secrets.token_hex(6), digest))
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {key}"
        yield session


@pytest.fixture(scope="module")
def described(web: OwnWeb, session: requests.Session) -> Any:
    return session.get(f"{web.url}/openapi.json", timeout=10).json()


def new_code(web: OwnWeb, session: requests.Session) -> str:
    wanted = {"url": "https://example.org/"}
    code: str = session.post(f"{web.url}{LINKS}", json=wanted, timeout=10).json()["code"]
    return code


@pytest.mark.parametrize("mode", GenerationMode)
def test_every_answer_is_as_described_and_none_is_the_servers_fault(
    web: OwnWeb, session: requests.Session, described: Any, mode: GenerationMode
) -> None:
    config = SchemathesisConfig.from_dict({"checks": REFUSALS})
    schema = schemathesis.openapi.from_dict(described, config=config)
    found = list(schema.get_all_operations())
    operations = [each.ok() for each in found if isinstance(each, Ok)]
    assert len(operations) == OPERATIONS
    for operation in operations:
        counted("schemathesis cases", tried(web, session, operation, mode))


def tried(web: OwnWeb, session: requests.Session, operation: Any, mode: GenerationMode) -> int:
    """Try cases of one operation; half of the good ones are about a link that is there."""
    sent: set[int] = set()

    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink] if SCALE else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Any) -> None:
        if mode.is_positive and "code" in (case.path_parameters or {}) and len(sent) % 2:
            case.path_parameters["code"] = new_code(web, session)
        sent.add(len(sent))
        answer = case.call_and_validate(
            base_url=web.url,
            session=session,
            headers={"Authorization": session.headers["Authorization"]},
            checks=CHECKS,
            allow_redirects=False,
        )
        if "json" in answer.headers.get("content-type", [""])[0]:
            ANSWERS.validate_json(answer.content, strict=True)

    one()
    return len(sent)


def test_a_method_that_is_not_described_gets_a_405_that_names_those_that_are(
    web: OwnWeb, session: requests.Session, described: Any
) -> None:
    for path, item in described["paths"].items():
        told = {method.upper() for method in item if method != "parameters"}
        allowed = told | {"HEAD"} if "GET" in told else told
        for method in {*METHODS} - allowed:
            url = f"{web.url}{path.format(code='code')}"
            answer = session.request(method, url, allow_redirects=False, timeout=10)
            assert answer.status_code == 405, (method, path)
            assert set(answer.headers["Allow"].split(", ")) == allowed
            assert answer.headers["Content-Type"] == "application/problem+json"


VISIBLE = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"))
HOSTS = st.one_of(
    VISIBLE,
    st.from_regex(r"[a-z.-]{0,10}(:[0-9]{0,6})?", fullmatch=True),
    st.from_regex(r"\[[0-9a-f:.]{0,10}\](:[0-9]{0,6})?", fullmatch=True),
)
HEADERS = st.fixed_dictionaries(
    {"Host": HOSTS},
    optional={
        name: st.one_of(VISIBLE, values)
        for name, values in {
            "If-Match": st.from_regex(r'(W/)?"[0-9]{0,30}"(, *"[0-9]*")*|\*', fullmatch=True),
            "Idempotency-Key": st.text(
                st.characters(codec="ascii", categories=["L"]), max_size=300
            ),
            "X-Forwarded-For": st.one_of(st.ip_addresses().map(str), st.just("1.2.3.4, ::1%x")),
            "X-Forwarded-Proto": st.sampled_from(["https", "HTTP", "gopher"]),
            "X-Request-Id": VISIBLE,
            "traceparent": st.from_regex(
                r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9]{2}", fullmatch=True
            ),
            "Accept": st.sampled_from(["text/html", "*/*;q=x", "text/html;;,"]),
            "Content-Encoding": st.sampled_from(["identity", "gzip"]),
            "User-Agent": VISIBLE,
            "Referer": st.one_of(HOSTS.map(lambda host: f"http://{host}/x"), st.just("http://[")),
            "Range": st.just("bytes=0-"),
            "Cookie": VISIBLE,
        }.items()
    },
)
REQUESTS = st.sampled_from(
    [
        ("GET", "/{code}"),
        ("HEAD", "/{code}"),
        ("GET", "/unknown"),
        ("POST", LINKS),
        ("GET", LINKS),
        ("POST", f"{LINKS}/bulk"),
        ("GET", f"{LINKS}/{{code}}"),
        ("PATCH", f"{LINKS}/{{code}}"),
        ("GET", f"{LINKS}/{{code}}/stats"),
        ("GET", f"{LINKS}/{{code}}/qr"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
    ]
)
BODIES = {
    "POST": {"url": "https://example.org/"},
    "PATCH": {"disabled": False},
    "bulk": {"links": [{"url": "https://example.org/"}]},
}


def test_no_header_makes_an_answer_the_servers_fault(
    web: OwnWeb, session: requests.Session
) -> None:
    code = new_code(web, session)
    key = str(session.headers["Authorization"])

    @settings(
        max_examples=times(quick=150, thorough=2000),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(request=REQUESTS, headers=HEADERS, with_key=st.integers(0, 4).map(bool))
    @example(("POST", LINKS), {"Host": "x:99999"}, True)
    @example(("POST", LINKS), {"Host": "[::::]"}, True)
    def one(request: tuple[str, str], headers: dict[str, str], with_key: bool) -> None:
        counted("requests with any headers")
        method, path = request
        members = BODIES.get("bulk" if path.endswith("bulk") else method)
        body = b"" if members is None else json.dumps(members).encode()
        connection = http.client.HTTPConnection(*web.address, timeout=30)
        connection.putrequest(method, path.format(code=code), skip_host=True)
        given = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        for name, value in (({"Authorization": key} if with_key else {}) | given).items():
            connection.putheader(name, value.encode("latin-1"))
        connection.endheaders(body)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status < 500, (request, given, text)
        assert b"Traceback" not in text

    one()


def test_every_described_operation_answers_head_where_it_answers_get(
    web: OwnWeb, session: requests.Session, described: Any
) -> None:
    code = new_code(web, session)
    for path in (path for path, item in described["paths"].items() if "get" in item):
        url = f"{web.url}{path.format(code=code)}"
        got = session.get(url, allow_redirects=False, timeout=10)
        head = session.head(url, allow_redirects=False, timeout=10)
        assert (head.status_code, head.content) == (got.status_code, b""), path
        assert (
            head.headers["Content-Type" if got.content else "Location"]
            == (got.headers["Content-Type" if got.content else "Location"])
        )
