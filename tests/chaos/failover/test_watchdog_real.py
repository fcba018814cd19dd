"""A server that does not do as it is set is an error, and no wait without end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from chaos.failover import watchdog
from chaos.failover.orders import Watch
from chaos.failover.process import FailoverProcess
from chaos.model.stack import StackError
from chaos.runtimes import server_queries
from tests.support.server_pair import PostgresServer, server_pair

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with server_pair(tmp_path_factory.mktemp("watched")) as (first, _):
        yield first


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "REACTS_S", 0.3)
    monkeypatch.setattr(server_queries, "RELOADED_S", 0.3)


def test_a_primary_that_cannot_be_demoted_is_named(server: PostgresServer) -> None:
    with psycopg.connect(server.url, autocommit=True) as primary:
        primary.execute("SET default_transaction_read_only = off")
        with pytest.raises(StackError, match=r"primary still takes writes, 0\.3 s after"):
            watchdog.demote(primary, "nobody")
    server_queries.let_write(server.url)


def test_one_that_cannot_be_let_write_is_named(server: PostgresServer) -> None:
    server.run("ALTER ROLE postgres SET default_transaction_read_only = on")
    with pytest.raises(StackError, match="primary still takes no writes"):
        server_queries.let_write(server.url)
    with psycopg.connect(server.url, autocommit=True) as primary:
        primary.execute("SET default_transaction_read_only = off")
        primary.execute("ALTER ROLE postgres RESET default_transaction_read_only")


def test_an_error_of_whoever_follows_its_events_is_kept_and_the_next_event_is_read(
    server: PostgresServer, tmp_path: Path
) -> None:
    def fails(name: str) -> None:
        raise StackError(f"nobody wants {name}")

    watch = Watch(primary=server.url, role="nobody", lost_s=60)
    process = FailoverProcess(watch, tmp_path, fails)
    process.stop()
    assert process.said == "watching, failed watching: nobody wants watching"
