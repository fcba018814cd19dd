"""The answer to a write: who took it, and what is unknown of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from chaos.model.stack import Stack
from tests.support.server_pair import PostgresServer, server_pair
from tests.support.shortener_webs import OwnWeb, webs

pytestmark = pytest.mark.real

Pair = tuple[PostgresServer, PostgresServer]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with server_pair(tmp_path) as servers:
        yield servers


def settings_for(pair: Pair, **more: str) -> Mapping[str, str]:
    return {
        "PRIMARY_URL": pair[0].url,
        "REPLICA_URL": pair[1].url,
        "WRITE_TO": "read-write",
        "PRIMARY_TIMEOUT_S": "3",
        "REQUEST_DEADLINE_S": "8",
        "FILL_LOCK_TTL_S": "10",
        **more,
    }


def create(web: OwnWeb, **members: str) -> requests.Response:
    body = {"url": "https://example.org/", **members}
    return requests.post(f"{web.url}/api/links", json=body, timeout=20)


def took(answer: requests.Response) -> tuple[str, str]:
    return answer.headers["X-Server"], answer.headers["X-Timeline"]


def test_each_answer_to_a_write_names_the_server_and_after_a_promotion_the_new_one(
    stack: Stack, pair: Pair, tmp_path: Path
) -> None:
    with webs(stack, tmp_path, 1, settings_for(pair)) as (web,):
        made = create(web)
        assert (made.status_code, *took(made)) == (201, "postgres-1", "1")
        address = f"{web.url}/api/links/{made.json()['code']}"
        edited = requests.patch(address, json={"disabled": True}, timeout=20)
        assert (edited.status_code, *took(edited)) == (200, "postgres-1", "1")
        assert "X-Server" not in requests.get(address, timeout=20).headers
        with ThreadPoolExecutor(1) as promoting:
            pair[0].process.kill()
            promoted = promoting.submit(pair[1].promote)
            end_s = time.monotonic() + 30
            while (answer := create(web)).status_code != 201:
                assert answer.status_code == 503
                assert time.monotonic() < end_s
            promoted.result()
        assert took(answer) == ("postgres-2", "2")
        deleted = requests.delete(address, timeout=20)
        assert (deleted.status_code, *took(deleted)) == (204, "postgres-2", "2")
        web.kill()
        web.start()  # with its first server still gone
        assert took(create(web)) == ("postgres-2", "2")


@pytest.mark.parametrize("retry", ["none", "by-key"])
def test_a_commit_that_stopped_waiting_for_its_standby_is_unknown_and_not_201(
    stack: Stack, pair: Pair, tmp_path: Path, retry: str
) -> None:
    chosen = settings_for(pair, SYNCHRONOUS_COMMIT="on", WRITE_RETRY=retry)
    with webs(stack, tmp_path, 1, chosen) as (web,):
        pair[0].set("synchronous_standby_names", "nobody")
        with ThreadPoolExecutor(1) as creating:
            asked = creating.submit(create, web, alias="spring-sale")
            while not asked.done():
                pair[0].run(
                    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
                    "WHERE wait_event = 'SyncRep'"
                )
                time.sleep(0.05)
        answer = asked.result()
        assert (answer.status_code, answer.headers["X-Outcome"]) == (503, "unknown")
        assert "X-Server" not in answer.headers
        pair[0].set("synchronous_standby_names", "")
        assert pair[0].value("SELECT count(*) FROM links") == 1


def test_an_unknown_outcome_is_settled_once_the_standby_is_back(
    stack: Stack, pair: Pair, tmp_path: Path
) -> None:
    chosen = settings_for(pair, SYNCHRONOUS_COMMIT="on")
    with webs(stack, tmp_path, 1, chosen) as (web,):
        pair[0].set("synchronous_standby_names", "nobody")
        with ThreadPoolExecutor(1) as creating:
            asked = creating.submit(create, web)
            waiting = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = "
            while not pair[0].run(f"{waiting} 'SyncRep'"):
                time.sleep(0.01)
            time.sleep(0.3)
            assert not asked.done()  # what is read back waits, too
            pair[0].set("synchronous_standby_names", '"postgres-2"')
        answer = asked.result()
        assert (answer.status_code, *took(answer)) == (201, "postgres-1", "1")
        assert pair[1].value("SELECT count(*) FROM links") == 1
