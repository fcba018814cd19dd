"""What a session reads while the replica is behind, by setting."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
import requests

from chaos.model.stack import Stack
from chaos.runtimes import server_queries
from stack.shortener.redirect.read_tokens import WRITTEN
from tests.support.patience import PATIENT
from tests.support.shortener_process import eventually
from tests.support.shortener_webs import OwnWeb, webs

pytestmark = pytest.mark.real

PIN_S, WAIT_S = 2.0, 10.0
SETTINGS = {**PATIENT, "READ_PIN_S": str(PIN_S), "NEGATIVE_TTL_S": "0.5"}
TARGET = {"url": "https://example.org/"}
NEVER_STALE = ["replica-then-primary", "primary", "pinned", "lsn", "lsn-wait"]


@pytest.fixture(scope="module")
def web(
    stack: Stack, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnWeb]:
    """A web process that reads as the test says."""
    settings = {**SETTINGS, "READ_FROM": request.param}
    with webs(stack, tmp_path_factory.mktemp("reads"), 1, settings) as started:
        yield started[0]


def reading(*modes: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("web", modes, indirect=True, scope="module")


@contextmanager
def behind(stack: Stack) -> Iterator[None]:
    """Stop the replica from replaying what it receives."""
    with psycopg.connect(stack.endpoints.replica, autocommit=True) as replica:
        replica.execute("SELECT pg_wal_replay_pause()")
        asked = "SELECT pg_get_wal_replay_pause_state()"
        eventually(lambda: replica.execute(asked).fetchone() == ("paused",))
        try:
            yield
        finally:
            replica.execute("SELECT pg_wal_replay_resume()")


def replicated(stack: Stack, code: str) -> None:
    """Wait until the replica has a link."""
    with psycopg.connect(stack.endpoints.replica, autocommit=True) as replica:
        asked = "SELECT 1 FROM links WHERE code = %s"
        eventually(lambda: replica.execute(asked, [code]).fetchone() is not None)


def create(web: OwnWeb) -> tuple[str, str]:
    """Create a link; return its code and the token, or ''."""
    made = requests.post(f"{web.url}/api/links", json=TARGET, timeout=20)
    assert made.status_code == 201, made.text
    return made.json()["code"], made.headers.get("X-Read-Token", "")


def edit(web: OwnWeb, code: str) -> str:
    """Change a link to version 2; return the token, or ''."""
    url = f"{web.url}/api/links/{code}"
    edited = requests.patch(url, json={"url": "https://example.org/2"}, timeout=20)
    assert edited.status_code == 200, edited.text
    return edited.headers.get("X-Read-Token", "")


def read(web: OwnWeb, code: str, token: str = "") -> tuple[int, str]:
    """Return status and version."""
    headers = {"X-Read-Token": token} if token else {}
    url = f"{web.url}/{code}"
    answer = requests.get(url, headers=headers, allow_redirects=False, timeout=20)
    assert answer.headers["X-Cache"] in ("hit", "miss", "wait")
    assert ("X-Click-Id" in answer.headers) == (answer.status_code == 302)
    return answer.status_code, answer.headers["X-Link-Version"]


def asked(web: OwnWeb, code: str) -> list[str]:
    """The databases that were asked for a link, in order."""
    lines = [line for line in web.log.read_text().splitlines() if "origin_query" in line]
    return [query["db"] for query in map(json.loads, lines) if query["key"] == code]


@reading(*NEVER_STALE)
def test_a_session_reads_what_it_has_written(stack: Stack, web: OwnWeb) -> None:
    old, _ = create(web)
    replicated(stack, old)
    with behind(stack):
        new, token = create(web)
        assert read(web, new, token) == (302, "1")
        assert read(web, old, edit(web, old)) == (302, "2")
        assert asked(web, new)[-1] == asked(web, old)[-1] == "primary"


@reading(*NEVER_STALE)
def test_a_session_sees_its_bulk_and_its_delete_as_well(stack: Stack, web: OwnWeb) -> None:
    old, _ = create(web)
    replicated(stack, old)
    with behind(stack):
        bulk = requests.post(f"{web.url}/api/links/bulk", json={"links": [TARGET]}, timeout=20)
        (new,) = bulk.json()["links"]
        assert read(web, new["code"], bulk.headers.get("X-Read-Token", "")) == (302, "1")
        deleted = requests.delete(f"{web.url}/api/links/{old}", timeout=20)
        assert read(web, old, deleted.headers.get("X-Read-Token", "")) == (404, "2")


@reading("replica")
def test_of_a_replica_that_is_behind_naive_readers_get_404_and_old_versions(
    stack: Stack, web: OwnWeb
) -> None:
    old, _ = create(web)
    replicated(stack, old)
    with behind(stack):
        new, token = create(web)
        assert token == edit(web, old) == ""
        assert read(web, new) == (404, "0")
        assert read(web, old) == (302, "1")
        time.sleep(0.6)
        assert read(web, new) == (404, "0")
    replicated(stack, new)
    assert read(web, new) == (404, "0")  # cached, since nothing invalidates it
    eventually(lambda: read(web, new) == (302, "1"), within_s=2)
    eventually(lambda: read(web, old) == (302, "2"), within_s=2)
    assert set(asked(web, old) + asked(web, new)) == {"replica"}


@reading("pinned")
def test_a_session_that_is_pinned_no_longer_reads_what_it_has_replaced(
    stack: Stack, web: OwnWeb
) -> None:
    old, _ = create(web)
    replicated(stack, old)
    with behind(stack):
        token = edit(web, old)
        time.sleep(PIN_S + 0.1)
        assert read(web, old, token) == (302, "1")
    eventually(lambda: read(web, old, token) == (302, "2"), within_s=2)


@reading("pinned", "lsn", "lsn-wait")
def test_a_stranger_who_reads_the_replica_leaves_nothing_stale_for_the_session(
    stack: Stack, web: OwnWeb
) -> None:
    old, _ = create(web)
    replicated(stack, old)
    with behind(stack):
        new, token = create(web)
        assert read(web, new) == (404, "0")
        assert read(web, new, token) == (302, "1")
        token = edit(web, old)
        assert read(web, old) == (302, "1")
        assert read(web, old, token) == (302, "2")


@reading("lsn", "lsn-wait")
def test_a_session_reads_the_replica_again_once_that_has_its_write(
    stack: Stack, web: OwnWeb
) -> None:
    code, token = create(web)
    replicated(stack, code)
    time.sleep(0.1)  # the position is asked for after the commit, and may be beyond it
    assert read(web, code, token) == (302, "1")
    assert asked(web, code) == ["replica"]
    timeline, high, low, _ = token.split("/")
    with psycopg.connect(stack.endpoints.primary) as primary:
        found = primary.execute("SELECT %s::pg_lsn <= pg_current_wal_lsn()", [f"{high}/{low}"])
        assert found.fetchone() == (True,)
    assert int(timeline) == server_queries.timeline(stack.endpoints.primary)


def test_a_session_waits_for_a_replica_that_will_have_its_write(
    stack: Stack, logs: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = {**SETTINGS, "READ_FROM": "lsn-wait", "READ_WAIT_S": str(WAIT_S)}
    with (
        webs(stack, tmp_path_factory.mktemp("waits"), 1, settings) as (web,),
        psycopg.connect(stack.endpoints.replica, autocommit=True) as replica,
        behind(stack),
    ):
        code, token = create(web)
        resume = threading.Timer(0.3, replica.execute, ["SELECT pg_wal_replay_resume()"])
        resume.start()
        began_s = time.monotonic()
        assert read(web, code, token) == (302, "1")
        assert 0.2 < time.monotonic() - began_s < WAIT_S
        resume.join()
        assert asked(web, code) == ["replica"]


def test_all_readers_leave_a_replica_that_lags_beyond_the_bound_and_return(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = {**SETTINGS, "READ_FROM": "replica", "READ_LAG_MAX_S": "0.4"}
    with webs(stack, tmp_path_factory.mktemp("bounded"), 1, settings) as (web,):
        old, _ = create(web)
        replicated(stack, old)
        eventually(lambda: read(web, old) == (302, "1"))
        assert asked(web, old)[-1] == "replica"
        with behind(stack):
            new, _ = create(web)
            edit(web, old)
            assert read(web, old) == (302, "1")  # within the bound
            time.sleep(0.6)
            assert (read(web, new), read(web, old)) == ((302, "1"), (302, "2"))
            assert asked(web, old)[-1] == "primary"
        time.sleep(0.3)
        again, _ = create(web)
        time.sleep(0.3)
        assert read(web, again) == (302, "1")
        assert asked(web, again) == ["replica"]


def test_the_position_of_a_token_is_one_that_the_primary_has_written(stack: Stack) -> None:
    """A record inserted by somebody else may wait for long, and readers with it."""
    emit = "SELECT pg_logical_emit_message(true, 'test', repeat('x', 100000))"
    inserted = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"

    def ahead() -> bool:
        with psycopg.connect(stack.endpoints.primary) as other:
            other.execute(emit)  # and no commit
            with psycopg.connect(stack.endpoints.primary, autocommit=True) as primary:
                _, token_lsn = primary.execute(WRITTEN.encode()).fetchone() or (None, 0)
                (inserted_lsn,) = primary.execute(inserted.encode()).fetchone() or (0,)
        return bool(inserted_lsn - token_lsn > 50_000)

    eventually(ahead)  # the log writer may come in between


@pytest.mark.parametrize("chosen", ["", "local", "remote_apply"])
def test_commits_of_a_web_process_wait_for_what_the_setting_says(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory, chosen: str
) -> None:
    """Seen on a server that has a standby to wait for, and one that does not replay."""
    settings = {**PATIENT, "SYNCHRONOUS_COMMIT": chosen, "PRIMARY_TIMEOUT_S": "1"}
    with (
        webs(stack, tmp_path_factory.mktemp("commits"), 1, settings) as (web,),
        synchronous_standby(stack),
        behind(stack),
    ):
        made = requests.post(f"{web.url}/api/links", json=TARGET, timeout=20)
    assert made.status_code == (503 if chosen == "remote_apply" else 201)


@contextmanager
def synchronous_standby(stack: Stack) -> Iterator[None]:
    """Name the standby of the primary, and wait until it is one."""
    named = f"ALTER SYSTEM SET synchronous_standby_names = '\"{stack.roles['replica']}\"'"
    with psycopg.connect(stack.endpoints.primary, autocommit=True) as primary:
        state = "SELECT sync_state FROM pg_stat_replication"
        try:
            primary.execute(named.encode())
            primary.execute("SELECT pg_reload_conf()")
            eventually(lambda: primary.execute(state).fetchone() == ("sync",))
            yield
        finally:
            primary.execute("ALTER SYSTEM RESET synchronous_standby_names")
            primary.execute("SELECT pg_reload_conf()")
            eventually(lambda: primary.execute(state).fetchone() == ("async",))
