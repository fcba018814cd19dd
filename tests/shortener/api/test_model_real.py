"""Model-based test of the API: random operations of two owners through two web processes must
get the responses of a small in-memory model."""

from __future__ import annotations

import hashlib
import http.client
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from chaos.model.stack import Stack
from tests.support.link_model import RESERVED, Model, ModelLink, fingerprint
from tests.support.patience import PATIENT
from tests.support.shortener_process import eventually
from tests.support.shortener_webs import OwnWeb, webs
from tests.support.thorough import LONG_S, SCALE, counted, times

pytestmark = [pytest.mark.real, pytest.mark.timeout(LONG_S)]

SEQUENCES = times(quick=25, thorough=2000)
STEPS = 20
LINKS = "/api/links"
JSON = {"Content-Type": "application/json"}
HOST = {"Host": "sho.rt"}  # as behind one balancer: answers name it
SOON_S = 0.015


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Service:
    """The running processes, and the clicks that all examples together made."""

    connections: list[http.client.HTTPConnection]
    database: psycopg.Connection
    clicks: dict[str, int] = field(default_factory=dict)

    def ask(self, web: int, method: str, path: str, body: object = None, **headers: str) -> Answer:
        connection = self.connections[web % len(self.connections)]
        sent = HOST | {name.replace("_", "-"): value for name, value in headers.items()}
        content = None if body is None else json.dumps(body).encode()
        connection.request(method, path, content, sent if content is None else JSON | sent)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())

    def new_key(self) -> str:
        """An API key, made as `keys add` makes one."""
        key = f"lnk_{secrets.token_urlsafe(32)}"
        digest = hashlib.sha256(key.encode()).digest()
        statement = "INSERT INTO api_keys (id, name, hash) VALUES (%s, 'model', %s)"
        self.database.execute(statement, (secrets.token_hex(6), digest))
        return key


@pytest.fixture(scope="module")
def servers(stack: Stack, logs: Path) -> Iterator[list[OwnWeb]]:
    with webs(stack, logs, 2, {**PATIENT, "REQUIRE_API_KEY": "true"}) as servers:
        yield servers


@pytest.fixture
def service(stack: Stack, servers: list[OwnWeb]) -> Iterator[Service]:
    connections = [http.client.HTTPConnection(*web.address, timeout=30) for web in servers]
    with psycopg.connect(stack.endpoints.primary, autocommit=True) as database:
        yield Service(connections, database)
    for connection in connections:
        connection.close()


TARGETS = st.sampled_from(["https://example.org/a", "http://example.com/?b#c", "https://x.example"])
FAR = st.sampled_from(["2040-01-01T00:00:00Z", "2050-12-31T23:59:59.500000Z"])
LIMITS = st.integers(1, 3)
WEBS = st.integers(0, 1)
ALIASES = st.one_of(st.integers(0, 5), st.sampled_from(RESERVED))
OWNERS = st.integers(0, 1)
KEYS = st.one_of(st.none(), st.integers(0, 2))
WANTED = st.fixed_dictionaries(
    {"url": TARGETS}, optional={"alias": ALIASES, "expires_at": FAR, "max_clicks": LIMITS}
)


def is_free(wanted: Mapping[str, Any]) -> bool:
    return wanted.get("alias") not in RESERVED


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "url": TARGETS,
        "disabled": st.booleans(),
        "expires_at": st.one_of(st.none(), FAR),
        "max_clicks": st.one_of(st.none(), LIMITS),
    },
).filter(bool)
VISITS = st.lists(st.tuples(WEBS, st.sampled_from(["GET", "GET", "HEAD"])), min_size=1, max_size=5)
MATCHES = st.sampled_from(["none", "any", "right", "among others", "stale", "weak"])


def from_now(seconds: float) -> str:
    """The time, in the form in which the API sends it."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    return moment.isoformat().replace("+00:00", "Z")


class Api(RuleBasedStateMachine):
    """Applies each rule to the service and to the model, and compares."""

    service: Service

    def __init__(self) -> None:
        super().__init__()
        self.prefix = secrets.token_hex(8)
        self.owners = [self.service.new_key(), self.service.new_key()]
        self.model = Model()
        self.creations: list[tuple[int, list[dict[str, Any]], str | None, bool]] = []
        counted("sequences of operations compared with the model")

    def ask(
        self, web: int, method: str, path: str, owner: int, *body: object, **headers: str
    ) -> Answer:
        counted("operations in them")
        key = f"Bearer {self.owners[owner]}"
        return self.service.ask(web, method, path, *body, Authorization=key, **headers)

    def link(self, number: int) -> ModelLink:
        return self.model.links[number % len(self.model.links)]

    def whose(self, link: ModelLink) -> int:
        return self.owners.index(link.owner)

    @initialize(web=WEBS, wanted=st.lists(WANTED.filter(is_free), min_size=2, max_size=3))
    def begin(self, web: int, wanted: list[dict[str, Any]]) -> None:
        """Start with a few links."""
        assert self.service.ask(web, "GET", LINKS).status == 401
        assert self.ask(web, "GET", LINKS, 0).json() == {"links": [], "next": None}
        assert self.ask(web, "GET", f"{LINKS}/{self.prefix}-0", 0).status == 404
        assert self.service.ask(web, "GET", f"/{self.prefix}-0").status == 404
        for owner, each in enumerate(wanted):
            self._create(web, owner % 2, [each], None, bulk=False)

    # --- making links ---------------------------------------------------------------------------

    @rule(web=WEBS, owner=OWNERS, wanted=WANTED, key=KEYS)
    def create(self, web: int, owner: int, wanted: dict[str, Any], key: int | None) -> None:
        self._create(web, owner, [wanted], key, bulk=False)

    @rule(web=WEBS, owner=OWNERS, wanted=st.lists(WANTED, min_size=1, max_size=4), key=KEYS)
    def create_all(
        self, web: int, owner: int, wanted: list[dict[str, Any]], key: int | None
    ) -> None:
        self._create(web, owner, wanted, key, bulk=True)

    def _create(
        self, web: int, owner: int, wanted: list[dict[str, Any]], key: int | None, *, bulk: bool
    ) -> None:
        named = [
            {**each, "alias": f"{self.prefix}-{each['alias']}"}
            if isinstance(each.get("alias"), int)
            else each
            for each in wanted
        ]
        name = None if key is None else f"{self.prefix}-{key}"
        self.creations.append((owner, named, name, bulk))
        self._request_for(web, owner, named, name, bulk)

    @rule(web=WEBS, number=st.integers(0, 10))
    def create_again(self, web: int, number: int) -> None:
        """The same request as before, key and all."""
        self._request_for(web, *self.creations[number % len(self.creations)])

    def _request_for(
        self, web: int, owner: int, named: list[dict[str, Any]], name: str | None, bulk: bool
    ) -> None:
        headers = {} if name is None else {"Idempotency_Key": name}
        path, body = (f"{LINKS}/bulk", {"links": named}) if bulk else (LINKS, named[0])
        answer = self.ask(web, "POST", path, owner, body, **headers)
        status = self.model.creation(self.owners[owner], name, named, bulk)
        assert answer.status == status, answer.body
        if status == 409:
            at = [f"#/links/{i}/alias" if bulk else "#/alias" for i in self.model.taken(named)]
            assert [error["pointer"] for error in answer.json()["errors"]] == at
        if status != 201:
            assert answer.headers.get_content_type() == "application/problem+json"
            return
        if name is not None:
            said = (fingerprint(named, bulk), answer.body)
            earlier = self.model.keys.setdefault((self.owners[owner], name), said)
            assert earlier == said, "the same request got another answer"
            if earlier is not said:
                return
        shown = answer.json()["links"] if bulk else [answer.json()]
        for link, asked in zip(shown, named, strict=True):
            self._made(owner, link, asked)

    def _made(self, owner: int, link: dict[str, Any], asked: Mapping[str, Any]) -> None:
        assert link["code"] == asked.get("alias", link["code"])
        assert link["code"] not in {each.code for each in self.model.links}
        assert link["short_url"].endswith(f"/{link['code']}")
        assert link["created_at"] == link["updated_at"]
        promised = {"expires_at": None, "max_clicks": None, **asked}
        promised |= {"version": 1, "uses": 0, "disabled": False}
        promised.pop("alias", None)
        assert {name: link[name] for name in promised} == promised
        self.model.links.append(ModelLink(link["code"], self.owners[owner], link))

    # --- changing and ending them ---------------------------------------------------------------

    @rule(web=WEBS, owner=OWNERS, number=st.integers(0, 30), members=CHANGES, match=MATCHES)
    def change(
        self, web: int, owner: int, number: int, members: dict[str, Any], match: str
    ) -> None:
        self._change(web, owner, self.link(number), members, match)

    @rule(web=WEBS, number=st.integers(0, 30), ago_s=st.sampled_from([0.001, 60, 86_400]))
    def expire(self, web: int, number: int, ago_s: float) -> None:
        link = self.link(number)
        expires_at = from_now(-ago_s)
        self._change(web, self.whose(link), link, {"expires_at": expires_at}, "none")

    @rule(webs=st.tuples(WEBS, WEBS), number=st.integers(0, 30))
    def expire_while_it_is_cached(self, webs: tuple[int, int], number: int) -> None:
        link = self.link(number)
        expires_at = from_now(SOON_S)
        self._change(webs[0], self.whose(link), link, {"expires_at": expires_at}, "none")
        self.service.ask(webs[1], "HEAD", f"/{link.code}")
        time.sleep(SOON_S + 0.005)
        self._follow(webs[1], link, "GET")

    def _change(
        self, web: int, owner: int, link: ModelLink, members: dict[str, Any], match: str
    ) -> None:
        answer = self.ask(
            web, "PATCH", f"{LINKS}/{link.code}", owner, members, **matching(link, match)
        )
        status = self._allowed(owner, link, match, answer)
        assert answer.status == (status or 200), answer.body
        if status is None:
            link.change(members)
            self._is_as_shown(link, answer)
            link.shown["updated_at"] = answer.json()["updated_at"]

    @rule(web=WEBS, owner=OWNERS, number=st.integers(0, 30), match=MATCHES)
    def delete(self, web: int, owner: int, number: int, match: str) -> None:
        link = self.link(number)
        answer = self.ask(web, "DELETE", f"{LINKS}/{link.code}", owner, **matching(link, match))
        status = self._allowed(owner, link, match, answer)
        assert answer.status == (status or 204), answer.body
        if status is None:
            assert answer.body == b""
            link.deleted = True

    def _allowed(self, owner: int, link: ModelLink, match: str, answer: Answer) -> int | None:
        """The expected error of a change, or `None`."""
        if link.deleted or link.owner != self.owners[owner]:
            return 404
        if match in ("stale", "weak"):
            assert answer.headers["ETag"] == f'"{link.version}"'
            return 412
        return None

    # --- looking at them ------------------------------------------------------------------------

    @rule(number=st.integers(0, 30), visits=VISITS)
    def follow(self, number: int, visits: list[tuple[int, str]]) -> None:
        self._visit(self.model.links, number, visits)

    @rule(number=st.integers(0, 30), visits=VISITS)
    def follow_what_leads_on(self, number: int, visits: list[tuple[int, str]]) -> None:
        links = [link for link in self.model.links if not link.deleted and not link.has_ended]
        self._visit(links, number, visits)

    @rule(number=st.integers(0, 30), visits=VISITS)
    def follow_to_the_limit(self, number: int, visits: list[tuple[int, str]]) -> None:
        links = [link for link in self.model.links if link.shown["max_clicks"] is not None]
        self._visit(links, number, visits)

    def _visit(self, links: list[ModelLink], number: int, visits: list[tuple[int, str]]) -> None:
        if links:
            for web, method in visits:
                self._follow(web, links[number % len(links)], method)

    @rule(webs=st.lists(WEBS, min_size=1, max_size=2), alias=st.integers(0, 5))
    def follow_what_is_not_made_yet(self, webs: list[int], alias: int) -> None:
        code = f"{self.prefix}-{alias}"
        if code not in {link.code for link in self.model.links}:
            for web in webs:
                assert self.service.ask(web, "GET", f"/{code}").status == 404

    def _follow(self, web: int, link: ModelLink, method: str) -> None:
        counted("operations in them")
        answer = self.service.ask(web, method, f"/{link.code}")
        status = link.follow(is_click=method == "GET")
        assert answer.status == status, (answer.status, answer.body, link)
        assert ("X-Click-Id" in answer.headers) == (status == 302 and method == "GET")
        if status == 302:
            assert answer.headers["Location"] == link.shown["url"]
            assert answer.headers["X-Link-Version"] == str(link.version)

    @rule(web=WEBS, owner=OWNERS, number=st.integers(0, 30))
    def show(self, web: int, owner: int, number: int) -> None:
        link = self.link(number)
        answer = self.ask(web, "GET", f"{LINKS}/{link.code}", owner)
        if link.deleted or link.owner != self.owners[owner]:
            assert answer.status == 404
        else:
            assert answer.status == 200
            self._is_as_shown(link, answer)

    def _is_as_shown(self, link: ModelLink, answer: Answer) -> None:
        shown = answer.json()
        assert answer.headers["ETag"] == f'"{link.version}"'
        assert shown.pop("updated_at") >= link.shown["updated_at"]
        assert shown.pop("short_url").endswith(f"/{link.code}")
        expected = {k: v for k, v in link.shown.items() if k not in ("updated_at", "short_url")}
        assert shown == expected

    @rule(web=WEBS, number=st.integers(0, 30))
    def count(self, web: int, number: int) -> None:
        """Counts never exceed the clicks sent, and add up."""
        link = self.link(number)
        answer = self.ask(web, "GET", f"{LINKS}/{link.code}/stats", self.whose(link))
        if link.deleted:
            assert answer.status == 404
        else:
            stats = answer.json()
            assert stats["total"] <= link.clicks
            assert sum(day["total"] for day in stats["days"]) == stats["total"]
            assert sum(each["total"] for each in stats["referrers"]) == stats["total"]

    @rule(
        webs=st.tuples(WEBS, WEBS), owner=OWNERS, limit=st.integers(1, 5), interrupted=st.booleans()
    )
    def page_through(
        self, webs: tuple[int, int], owner: int, limit: int, interrupted: bool
    ) -> None:
        """Every link once, newest first; links created meanwhile shift nothing."""
        expected = self.model.of(self.owners[owner])
        links: list[dict[str, Any]] = []
        path = f"{LINKS}?limit={limit}"
        while True:
            page = self.ask(webs[len(links) % 2], "GET", path, owner).json()
            links += page["links"]
            assert len(links) <= len(expected), "a page comes again"
            if page["next"] is None:
                break
            assert len(page["links"]) == limit
            path = f"{LINKS}?limit={limit}&after={page['next']}"
            if interrupted:
                self._create(webs[0], owner, [{"url": "https://late.example/"}], None, bulk=False)
        places = [(link["created_at"], link["code"]) for link in links]
        assert places == sorted(places, reverse=True)
        assert [link["code"] for link in links if link["code"] not in expected] == []
        seen = {link["code"]: link for link in links}
        assert len(seen) == len(links) == len(expected)
        for code, link in seen.items():
            assert link["url"] == expected[code]["url"]
            assert (link["version"], link["uses"]) == (
                expected[code]["version"],
                expected[code]["uses"],
            )

    def teardown(self) -> None:
        self.service.clicks.update({link.code: link.clicks for link in self.model.links})


def matching(link: ModelLink, match: str) -> dict[str, str]:
    """The header that names a version."""
    tag = {
        "none": None,
        "any": "*",
        "right": f'"{link.version}"',
        "among others": f'"{link.version + 1}", "{link.version}"',
        "stale": f'"{link.version - 1}"',
        "weak": f'W/"{link.version}"',
    }[match]
    return {} if tag is None else {"If_Match": tag}


def test_the_api_answers_as_its_model_does_and_counts_every_click_of_it_once(
    service: Service,
) -> None:
    class Machine(Api):
        pass

    Machine.service = service
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=SEQUENCES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink] if SCALE else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    expected = {code: number for code, number in service.clicks.items() if number}
    counted("clicks of them, each found once", sum(expected.values()))
    eventually(lambda: sum(totals(service).values()) >= sum(expected.values()), within_s=60)
    assert totals(service) == expected


def test_a_repeated_request_gets_its_answer_even_if_its_link_has_expired_meanwhile(
    service: Service,
) -> None:
    expires_at = datetime.now(UTC) + timedelta(seconds=2)
    wanted = {"url": "https://example.org/", "expires_at": expires_at.isoformat()}
    headers = {
        "Authorization": f"Bearer {service.new_key()}",
        "Idempotency_Key": secrets.token_hex(8),
    }
    first = service.ask(0, "POST", LINKS, wanted, **headers)
    assert first.status == 201
    time.sleep(2.01)
    assert service.ask(1, "GET", f"/{first.json()['code']}").status == 410
    again = service.ask(1, "POST", LINKS, wanted, **headers)
    assert (again.status, again.body) == (201, first.body)


def totals(service: Service) -> dict[str, int]:
    """The clicks on the links of all examples, as counted by the worker."""
    query = "SELECT code, total FROM link_clicks WHERE code = ANY (%s)"
    return dict(service.database.execute(query, (list(service.clicks),)).fetchall())
