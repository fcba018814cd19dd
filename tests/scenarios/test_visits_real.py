"""Visits through Locust: to a fake server with faults, and to the real stack."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import requests

from chaos.model.stack import Stack
from scenarios.generator import link_requests
from scenarios.generator.http_client import HttpClient
from tests.support.scenarios_lab import Locust, controlled, server
from tests.support.scenarios_server import LAGGARDS

pytestmark = pytest.mark.real

Row = dict[str, str]
AUTHOR = {
    "name": "author",
    "own_link": True,
    "steps": [{"operation": name} for name in ("create", "follow", "edit", "follow", "delete")],
}
EDITOR = {
    "name": "editor",
    "steps": [{"operation": "edit"}, {"operation": "follow", "after_s": 0.02}],
}
READER = {
    "name": "reader",
    "weight": 2.0,
    "steps": [{"operation": "follow"}, {"operation": "stats"}],
}
VISITS = [AUTHOR, EDITOR, READER]
KEYS = 60  # an edit that finds all links being edited is not sent: on a slow machine, six are few


def run(engine: Locust, duration_s: float, **traffic: Any) -> tuple[Any, list[Row]]:
    """Prepare fresh links and send a segment; the generator's figures and the record."""
    assert engine.prepare_fresh(**traffic)["event"] == "prepared"
    assert engine.start(duration_s, 1, **traffic)["event"] == "started"
    return engine.hear(), engine.rows()


def operations(rows: list[Row]) -> list[list[Row]]:
    """The tries of each operation, in order."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: int(row["attempt"])):
        found[row["op_id"]].append(row)
    return list(found.values())


def sessions(rows: list[Row]) -> list[list[Row]]:
    """The last tries of each session, in order."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: int(row["op_id"].rpartition("-")[2])):
        if row["last"] == "true":
            found[row["session"]].append(row)
    return list(found.values())


def test_fresh_links_are_new_each_time_and_made_in_bulk(tmp_path: Path) -> None:
    with server() as shop, controlled(shop.url, tmp_path) as engine:
        first = engine.prepare_fresh(rate_per_s=5, keys=250)
        second = engine.prepare_fresh(rate_per_s=5, keys=7)
        kept = engine.prepare(rate_per_s=5, keys=7)
        seen = shop.seen()
    assert (len(first["codes"]), first["follows"]) == (250, 250)
    assert not set(first["codes"]) & set(second["codes"])
    assert kept["codes"] == second["codes"]
    assert kept["targets"] == second["targets"]
    assert len({*first["targets"], *second["targets"]}) == 250 + 7
    assert seen["bulks"] == 3 + 1
    assert seen["redirects"] == 250 + 7 + 7


def test_a_link_that_the_replica_does_not_have_yet_is_waited_for(tmp_path: Path) -> None:
    with server("lagging") as shop, controlled(shop.url, tmp_path) as engine:
        told = engine.prepare_fresh(rate_per_s=5, keys=4)
        seen = shop.seen()
    assert (told["event"], told["follows"]) == ("prepared", 4)
    assert (seen["laggards"], seen["redirects"]) == (LAGGARDS, 4)


def test_every_try_against_a_failing_server_is_a_row(tmp_path: Path) -> None:
    traffic = {
        "rate_per_s": 60,
        "keys": KEYS,
        "visits": VISITS,
        "retries": {"tries": 6, "pause_s": 0.01},
    }
    with server("flaky") as shop, controlled(shop.url, tmp_path) as engine:
        finished, rows = run(engine, 1.0, **traffic)
        seen = shop.seen()
    assert len(rows) == finished["sent"] == finished["offered"] == seen["flaked"]
    assert finished["offered"] > 1.5 * finished["visits"] > 30
    tried = operations(rows)
    assert max(map(len, tried)) > 2
    for tries in tried:
        assert [row["attempt"] for row in tries] == [str(n + 1) for n in range(len(tries))]
        assert [row["last"] for row in tries] == ["false"] * (len(tries) - 1) + ["true"]
        assert {row["status"] for row in tries[:-1]} <= {"503"}
        assert len({row["key"] for row in tries}) == 1


def test_visits_to_the_real_stack_are_on_record_as_it_answered(
    stack: Stack, tmp_path: Path
) -> None:
    traffic = {"rate_per_s": 50, "keys": KEYS, "hot_share": 0.3, "visits": VISITS}
    with controlled(stack.endpoints.url, tmp_path) as engine:
        finished, rows = run(engine, 2.0, **traffic)
    assert len(rows) == finished["sent"] == finished["offered"]
    assert finished["visits"] == len(sessions(rows)) > 60
    assert {row["operation"] for row in rows} == set(link_requests.METHODS)
    assert {row["outcome"] for row in rows} == {"ok"}
    for session in sessions(rows):
        assert len({(row["key"], row["rank"]) for row in session}) == 1
        if session[0]["operation"] == "create":
            an_author_reads_what_it_wrote(session)
        elif session[0]["operation"] == "edit" and len(session) == 2:
            edit, follow = session
            assert int(follow["version"]) >= int(edit["version"]) > 1
    clicks = {row["click_id"] for row in rows if row["operation"] == "follow"}
    assert len(clicks) == sum(row["operation"] == "follow" for row in rows)
    assert {row["version"] for row in rows if row["operation"] == "stats"} == {"-1"}
    the_last_edits_are_the_links_targets(stack.endpoints.url, rows)


def an_author_reads_what_it_wrote(session: list[Row]) -> None:
    create, *rest = session
    assert int(create["rank"]) >= KEYS
    assert create["target"] == f"https://example.com/page/{create['key']}/0"
    assert create["version"] == "1"
    written = create
    for row in rest:
        if row["operation"] == "edit":
            assert int(row["version"]) == int(written["version"]) + 1
            written = row
        elif row["operation"] == "follow":
            assert (row["target"], row["version"]) == (written["target"], written["version"])


def the_last_edits_are_the_links_targets(url: str, rows: list[Row]) -> None:
    edits = [row for row in rows if row["operation"] == "edit" and int(row["rank"]) < KEYS]
    for key in {row["key"] for row in edits}:
        newest = max((row for row in edits if row["key"] == key), key=lambda r: int(r["version"]))
        link = requests.get(f"{url}/api/links/{key}", timeout=10).json()
        assert (link["url"], str(link["version"])) == (newest["target"], newest["version"])


def test_a_link_that_was_deleted_is_absent_and_its_visit_goes_on_past_the_follower(
    stack: Stack, tmp_path: Path
) -> None:
    names = ("create", "delete", "follow", "stats", "follow")
    ghost = {"name": "ghost", "own_link": True, "steps": [{"operation": name} for name in names]}
    with controlled(stack.endpoints.url, tmp_path) as engine:
        finished, rows = run(engine, 1.0, rate_per_s=10, keys=1, visits=[ghost])
    assert len(rows) == finished["offered"] > finished["visits"] > 2
    whole = [session for session in sessions(rows) if len(session) == 4]
    assert whole
    for create, delete, follow, stats in whole:
        assert (create["outcome"], delete["outcome"], delete["status"]) == ("ok", "ok", "204")
        assert (follow["outcome"], stats["outcome"], stats["status"]) == ("absent", "absent", "404")
        assert follow["click_id"] == follow["target"] == ""


def test_a_create_that_is_sent_again_gets_its_first_answer(stack: Stack) -> None:
    client = HttpClient(stack.endpoints.url)
    request = link_requests.create_own(client, "vsent-twice", "https://example.com/page/twice/0")
    first, again = (client.exchange(request, 10.0) for _ in range(2))
    client.close()
    assert (first.status, again.status) == (201, 201)
    assert first.headers[b"etag"] == again.headers[b"etag"] == b'"1"'


def test_fifty_fresh_links_are_made_and_followed_on_the_real_stack(
    stack: Stack, tmp_path: Path
) -> None:
    with controlled(stack.endpoints.url, tmp_path) as engine:
        told = engine.prepare_fresh(rate_per_s=5, keys=50)
    assert len(set(told["codes"])) == told["follows"] == 50
    fourth = f"{stack.endpoints.url}/{told['codes'][3]}"
    answer = requests.get(fourth, allow_redirects=False, timeout=10)
    assert answer.headers["location"] == told["targets"][3]
