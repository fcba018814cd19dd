"""A server that does not do as it is set is an error, and no wait without end."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from chaos.failover import watchdog
from chaos.model.stack import StackError
from tests.support.server_pair import PostgresServer, server_pair

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with server_pair(tmp_path_factory.mktemp("watched")) as (first, _):
        yield first


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "REACTS_S", 0.3)


def test_a_primary_that_cannot_be_demoted_is_named(server: PostgresServer) -> None:
    with psycopg.connect(server.url, autocommit=True) as primary:
        primary.execute("SET default_transaction_read_only = off")
        with pytest.raises(StackError, match=r"primary still takes writes, 0\.3 s after"):
            watchdog.demote(primary, "nobody")
    watchdog.let_write(server.url)


def test_one_that_cannot_be_let_write_is_named(server: PostgresServer) -> None:
    server.run("ALTER ROLE postgres SET default_transaction_read_only = on")
    with pytest.raises(StackError, match="primary still takes no writes"):
        watchdog.let_write(server.url)
    with psycopg.connect(server.url, autocommit=True) as primary:
        primary.execute("SET default_transaction_read_only = off")
        primary.execute("ALTER ROLE postgres RESET default_transaction_read_only")
