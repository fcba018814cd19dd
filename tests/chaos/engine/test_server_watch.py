"""The watch of the servers: who answers is told at once, and who hangs holds up nobody."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from chaos.engine import server_watch
from chaos.engine.server_watch import ServerWatch, Standing
from chaos.model.stack import ServerName, StackError
from chaos.runtimes.server_queries import standing
from tests.support.server_pair import server_pair
from tests.support.shortener_process import eventually

URLS: dict[ServerName, str] = {"postgres-1": "one", "postgres-2": "two"}
LEADS, FOLLOWS = Standing(True, 3, 2e7), Standing(False, 3, 1e7)


def test_servers_are_told_that_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_watch, "standing", {"one": LEADS, "two": FOLLOWS}.__getitem__)

    assert ServerWatch().look(URLS) == {"postgres-1": LEADS, "postgres-2": FOLLOWS}


def test_a_server_that_gives_an_error_is_left_out_and_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dead = {"one"}

    def ask(url: str) -> Standing:
        if url in dead:
            raise StackError("connection refused")
        return FOLLOWS

    monkeypatch.setattr(server_watch, "standing", ask)
    watch = ServerWatch()

    assert watch.look(URLS) == {"postgres-2": FOLLOWS}
    dead.clear()
    assert watch.look(URLS) == {"postgres-1": FOLLOWS, "postgres-2": FOLLOWS}


def test_a_server_that_hangs_is_asked_once_and_told_when_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resumed, asked = threading.Event(), list[str]()

    def ask(url: str) -> Standing:
        asked.append(url)
        if url == "one":
            resumed.wait(10)
        return LEADS if url == "one" else FOLLOWS

    monkeypatch.setattr(server_watch, "standing", ask)
    watch = ServerWatch()
    began_s = time.monotonic()

    assert watch.look(URLS) == watch.look(URLS) == {"postgres-2": FOLLOWS}
    assert time.monotonic() - began_s < 2
    assert asked.count("one") == 1
    resumed.set()
    assert watch.look(URLS) == {"postgres-1": LEADS, "postgres-2": FOLLOWS}


def test_who_does_not_speak_postgres_is_an_error() -> None:
    with socket.socket() as unbound:
        unbound.bind(("127.0.0.1", 0))
        port = unbound.getsockname()[1]
        with pytest.raises(StackError, match="does not say how it stands"):
            standing(f"postgresql://postgres@127.0.0.1:{port}/postgres")


@pytest.mark.real
@pytest.mark.timeout(120)
def test_a_promotion_shows_in_role_timeline_and_position(tmp_path: Path) -> None:
    with server_pair(tmp_path) as (first, second):
        before, after = standing(first.url), standing(second.url)
        assert (before.leads, before.timeline) == (True, 1)
        assert (after.leads, after.timeline) == (False, 1)
        first.run("CREATE TABLE t AS SELECT generate_series(1, 1000)")
        eventually(lambda: standing(second.url).lsn_bytes > before.lsn_bytes)

        first.process.stop()
        assert standing(second.url).timeline == 1
        second.promote()
        promoted = standing(second.url)
        assert (promoted.leads, promoted.timeline) == (True, 2)
        assert promoted.lsn_bytes > after.lsn_bytes
