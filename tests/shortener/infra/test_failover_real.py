"""Connections to the primary while the roles of two servers change."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from stack.shortener.infra.database import Database, DatabaseUnavailable
from stack.shortener.infra.pool import Failover
from stack.shortener.infra.servers import NoWritableServer, Server, ServerConnection, WritableServer
from tests.support.server_pair import PostgresServer, server_pair
from tests.support.shortener_process import nobody

pytestmark = pytest.mark.real

HOST_S = 0.5
INSERT = "INSERT INTO kept VALUES ($1)"
Pair = tuple[PostgresServer, PostgresServer]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with server_pair(tmp_path) as servers:
        servers[0].run("CREATE TABLE kept (value integer PRIMARY KEY)")
        yield servers


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A pair for tests that promote nobody."""
    with server_pair(tmp_path_factory.mktemp("shared")) as servers:
        yield servers


@pytest.fixture
def steady(shared: Pair) -> Pair:
    shared[0].set("synchronous_standby_names", "")
    shared[0].run("DROP TABLE IF EXISTS kept")
    shared[0].run("CREATE TABLE kept (value integer PRIMARY KEY)")
    return shared


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


async def found(servers: WritableServer) -> Server:
    connection: ServerConnection = await servers.connect("")
    connection.terminate()
    return connection.server


def database(servers: Sequence[str], failover: Failover, size: int = 4) -> Database:
    return Database("primary", servers[0], size, 2.0, [INSERT], wait_s=2.0, failover=failover)


def both(pair: Pair) -> WritableServer:
    return WritableServer([server.url for server in pair], HOST_S)


async def written_by(primary: Database, value: int) -> Server:
    async with primary.connection() as connection:
        server: Server = connection.server
        await connection.execute(INSERT, value)
    return server


async def resetting(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept and reset, as a proxy does whose server is gone."""
    taken = writer.get_extra_info("socket")
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def test_the_server_that_takes_writes_is_found_whatever_the_first_one_does(steady: Pair) -> None:
    good = steady[0].url
    expected = Server("postgres-1", 1, takes_writes=True)

    async def main() -> None:
        assert await found(both((steady[1], steady[0]))) == expected
        proxy = await asyncio.start_server(resetting, "127.0.0.1", 0)
        port = proxy.sockets[0].getsockname()[1]
        with nobody(silent=True) as silent, nobody(silent=False) as closed:
            for first in (f"127.0.0.1:{port}", silent, closed):
                servers = WritableServer([f"postgresql://postgres@{first}/postgres", good], HOST_S)
                for _ in range(10 if first != silent else 2):
                    began_s = time.monotonic()
                    assert await found(servers) == expected
                    assert time.monotonic() - began_s < HOST_S + 1
        proxy.close()

    run(main())


def test_of_two_servers_that_take_writes_the_one_promoted_later_is_chosen_and_kept(
    pair: Pair,
) -> None:
    async def main() -> None:
        stale, promoted = pair
        promoted.promote()
        assert stale.value("SELECT pg_is_in_recovery()") is False
        servers = both(pair)
        for _ in range(20):
            assert await found(servers) == Server("postgres-2", 2, takes_writes=True)
        promoted.process.stop()
        with pytest.raises(NoWritableServer, match="postgres-1 on timeline 1"):
            await found(servers)

    run(main())


def test_a_pool_of_a_demoted_server_is_renewed_once_and_writes_to_the_new_one(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        primary = database([pair[0].url], Failover(both(pair)))
        await primary.open()
        assert (await written_by(primary, 1)).name == "postgres-1"
        pair[1].promote()
        pair[0].set("default_transaction_read_only", "on")
        answers = await asyncio.gather(
            *(written_by(primary, 100 + number) for number in range(4)), return_exceptions=True
        )
        assert any(isinstance(answer, DatabaseUnavailable) for answer in answers)
        after = await asyncio.gather(*(written_by(primary, number) for number in range(10, 40)))
        assert set(after) == {Server("postgres-2", 2, takes_writes=True)}
        await primary.close()

    run(main())
    assert events(capsys).count("pool_renewed") == 1


def test_a_pool_that_opens_asks_all_servers_once_and_later_for_each_new_connection(
    steady: Pair,
) -> None:
    asked = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await resetting(reader, writer)

    async def main() -> None:
        other = await asyncio.start_server(count, "127.0.0.1", 0)
        port = other.sockets[0].getsockname()[1]
        urls = [f"postgresql://postgres@127.0.0.1:{port}/postgres", steady[0].url]
        primary = database([steady[0].url], Failover(WritableServer(urls, HOST_S)), size=8)
        await primary.open()
        assert asked == 1
        async with primary.connection() as connection:
            connection.terminate()
        await asyncio.gather(*(written_by(primary, value) for value in range(16)))
        assert asked == 2
        await primary.close()
        other.close()

    run(main())


def events(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]


def test_pinned_connections_go_on_to_a_demoted_server_which_refuses_every_write(
    pair: Pair,
) -> None:
    async def main() -> None:
        primary = database([pair[0].url], Failover(both(pair), renewed=False))
        await primary.open()
        pair[1].promote()
        pair[0].set("default_transaction_read_only", "on")
        for value in range(10):
            with pytest.raises(DatabaseUnavailable, match="ReadOnly") as refused:
                await written_by(primary, value)
            assert not refused.value.may_be_done
        await primary.close()

    run(main())


def test_after_the_primary_ended_writes_wait_for_the_renewal_and_go_to_the_promoted_server(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        primary = database([pair[0].url], Failover(both(pair)))
        await primary.open()
        await written_by(primary, 1)
        pair[0].process.kill()
        with pytest.raises(DatabaseUnavailable):
            await written_by(primary, 2)
        waiting = [asyncio.create_task(written_by(primary, value)) for value in range(3, 9)]
        await asyncio.to_thread(pair[1].promote)
        assert {(await task).name for task in waiting} == {"postgres-2"}
        await primary.close()

    run(main())
    assert events(capsys).count("pool_renewed") == 1
    assert pair[1].value("SELECT count(*) FROM kept WHERE value > 2") == 6


def test_an_address_whose_server_goes_on_to_refuse_writes_is_not_stormed_with_connections(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        primary = database([pair[0].url], Failover())
        await primary.open()
        pair[0].set("default_transaction_read_only", "on")
        end_s = time.monotonic() + 1.2
        while time.monotonic() < end_s:
            with pytest.raises(DatabaseUnavailable):
                await written_by(primary, 1)
        await primary.close()

    run(main())
    assert 2 <= events(capsys).count("pool_renewed") <= 6


def test_connections_end_within_their_lifetime_and_not_all_at_once(steady: Pair) -> None:
    lifetime_s = 3.0

    async def main() -> None:
        primary = database([steady[0].url], Failover(lifetime_s=lifetime_s), size=8)
        began_s = time.monotonic()
        await primary.open()
        first, ends_s = await backends(primary), list[float]()
        while len(ends_s) < len(first):
            left = len(first & await backends(primary))
            ends_s += [time.monotonic() - began_s] * (len(first) - len(ends_s) - left)
            await asyncio.sleep(0.02)
        assert lifetime_s / 2 <= min(ends_s)
        assert max(ends_s) < 1.5 * lifetime_s
        assert len(set(ends_s)) > 2
        await primary.close()

    run(main())


async def backends(primary: Database) -> set[int]:
    """Use all connections at once; return the processes that serve them."""
    at_once = asyncio.Barrier(8)

    async def one() -> int:
        async with primary.connection() as connection:
            await at_once.wait()
            pid: int = await connection.fetchval("SELECT pg_backend_pid()")
            return pid

    return set(await asyncio.gather(*(one() for _ in range(8))))


def test_an_old_primary_keeps_the_connections_that_do_not_know_of_the_new_one(
    pair: Pair,
) -> None:
    async def main() -> None:
        servers = both(pair)
        pinned = database([pair[0].url], Failover(servers, renewed=False), size=1)
        renewed = database([pair[0].url], Failover(servers), size=1)
        await asyncio.gather(pinned.open(), renewed.open())
        pair[1].promote()
        assert (await found(servers)).name == "postgres-2"
        assert (await written_by(pinned, 1)).name == "postgres-1"
        assert (await written_by(renewed, 1)).name == "postgres-2"
        await asyncio.gather(pinned.close(), renewed.close())

    run(main())


def test_a_connection_opened_to_a_standby_knows_the_timeline_once_that_is_promoted(
    pair: Pair,
) -> None:
    async def main() -> None:
        primary = database([pair[1].url], Failover(), size=1)
        await primary.open()
        async with primary.connection() as connection:
            assert connection.server == Server("postgres-2", 0, takes_writes=False)
        pair[1].promote()
        assert await written_by(primary, 1) == Server("postgres-2", 2, takes_writes=True)
        await primary.close()

    run(main())


@pytest.mark.parametrize("commit", ["on", "remote_write", "remote_apply"])
def test_a_commit_that_stopped_waiting_for_its_standby_is_not_acknowledged(
    steady: Pair, commit: str
) -> None:
    async def main() -> None:
        steady[0].set("synchronous_standby_names", "nobody")
        primary = Database(
            "primary", steady[0].url, 1, 5.0, [], synchronous_commit=commit, failover=Failover()
        )
        await primary.open()
        writing = asyncio.create_task(written_by(primary, 1))
        await asyncio.to_thread(cancel_the_wait, steady[0])
        with pytest.raises(DatabaseUnavailable, match="standby") as caught:
            await writing
        assert caught.value.may_be_done
        assert steady[0].value("SELECT count(*) FROM kept") == 1
        steady[0].set("synchronous_standby_names", "")
        assert (await written_by(primary, 2)).name == "postgres-1"
        await primary.close()

    run(main())


def cancel_the_wait(server: PostgresServer) -> None:
    waiting = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    end_s = time.monotonic() + 10
    while not server.run(waiting):
        assert time.monotonic() < end_s, "no commit waits"
        time.sleep(0.01)


@pytest.mark.parametrize("commit", ["off", "local", "remote_write", "on", "remote_apply"])
def test_a_commit_waits_for_a_standby_only_if_its_mode_says_so(steady: Pair, commit: str) -> None:
    async def main() -> None:
        primary = Database(
            "primary", steady[0].url, 1, 1.0, [], synchronous_commit=commit, failover=Failover()
        )
        steady[0].set("synchronous_standby_names", '"postgres-2"')
        await primary.open()
        await written_by(primary, 1)
        steady[0].set("synchronous_standby_names", "nobody")
        if commit in ("off", "local"):
            await written_by(primary, 2)
        else:
            with pytest.raises(DatabaseUnavailable, match="TimeoutError"):
                await written_by(primary, 2)
            assert steady[0].value("SELECT count(*) FROM kept WHERE value = 2") == 0
        steady[0].set("synchronous_standby_names", "")
        await primary.close()

    run(main())


def test_asyncpg_alone_would_have_chosen_the_stale_server(pair: Pair) -> None:
    """The reason for our own way, which may go once this changes."""

    async def main() -> None:
        pair[1].promote()
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in pair)
        url = f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("SELECT current_setting('cluster_name')") == "postgres-1"
        await connection.close()

    run(main())
