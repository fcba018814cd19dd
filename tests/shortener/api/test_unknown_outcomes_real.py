"""Writes whose connection breaks as they are sent: done once, and answered as what they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import psycopg
import pytest

from chaos.model.stack import Stack
from stack.shortener.api import link_creation, links
from stack.shortener.api.bodies import LinkChange, NewLink
from stack.shortener.api.link_creation import LinkCreation
from stack.shortener.api.links import LinkStore
from stack.shortener.api.writes import OutcomeUnknown, RetriesByKey, SingleAttempt, Writer
from stack.shortener.http.problems import Problem
from stack.shortener.infra.database import Database
from stack.shortener.infra.metrics import Metrics
from stack.shortener.infra.pool import Failover
from stack.shortener.infra.retry_budget import RetryBudget
from tests.support.databases import laid_out_database
from tests.support.lossy_proxy import LATE_S, Fault, LossyProxy, lossy

pytestmark = pytest.mark.real

FAULTS: tuple[Fault, ...] = ("request lost", "answer lost", "request late")
PLAIN = NewLink.model_construct(url="https://example.org/", alias=None)
OTHER = NewLink.model_construct(url="https://example.org/other", alias=None)
NAMED = NewLink.model_construct(url="https://example.org/", alias="spring-sale")
CHANGE = LinkChange.model_construct(url="https://example.org/new")


@dataclass(frozen=True)
class Client:
    """A writer of links by way of a proxy."""

    proxy: LossyProxy
    maker: LinkCreation
    store: LinkStore
    metrics: Metrics


Operation = Callable[[Client], Awaitable[None]]


@asynccontextmanager
async def client(url: str, *, by_key: bool = True) -> AsyncIterator[Client]:
    statements = [*links.STATEMENTS, *link_creation.STATEMENTS]
    async with lossy(url) as (proxy, by_proxy):
        primary = Database("primary", by_proxy, 2, 3.0, statements, failover=Failover())
        await primary.open()
        metrics = Metrics()
        writer: Writer = SingleAttempt(primary)
        if by_key:
            writer = RetriesByKey(primary, metrics, RetryBudget(0.1), 5.0)
        maker = LinkCreation(primary, writer, 10)
        try:
            yield Client(proxy, maker, LinkStore(primary, writer), metrics)
        finally:
            await primary.close()


def rows(url: str) -> list[tuple[str, str, int, bool]]:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT code, url, version, deleted FROM links ORDER BY url")
        return found.fetchall()


def broken_by(
    stack: Stack, fault: Fault, operation: Operation, before: Operation | None = None
) -> tuple[list[tuple[str, str, int, bool]], Metrics]:
    """Do something while the fault waits for its first statement; return what there is then."""

    async def main(url: str) -> Metrics:
        async with client(url) as one:
            if before:
                await before(one)
            one.proxy.next = fault
            await operation(one)
            await asyncio.sleep(LATE_S + 0.2 if fault == "request late" else 0)
            return one.metrics

    with laid_out_database(stack) as url:
        metrics = asyncio.run(main(url))
        return rows(url), metrics


@pytest.mark.parametrize("fault", FAULTS)
def test_a_link_with_a_random_code_is_made_once_under_the_code_that_is_answered(
    stack: Stack, fault: Fault
) -> None:
    answered = []

    async def create(one: Client) -> None:
        answered.append((await one.maker.create(PLAIN, None)).value)

    found, metrics = broken_by(stack, fault, create)
    assert found == [(answered[0].code, PLAIN.url, 1, False)]
    assert metrics.write_retries["read_back"] >= 1
    assert (
        metrics.write_retries["sent_again"]
        in {
            "request lost": [1],
            "answer lost": [0],
            "request late": [0, 1],  # on a busy machine it may land before it is read back
        }[fault]
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_links_of_one_request_are_all_made_once(stack: Stack, fault: Fault) -> None:
    answered: list[str] = []

    async def create(one: Client) -> None:
        made = await one.maker.create_all([NAMED, OTHER], None)
        answered.extend(link.code for link in made.value)

    found, _ = broken_by(stack, fault, create)
    assert [code for code, *_ in found] == answered
    assert answered[0] == NAMED.alias


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("wanted", [PLAIN, NAMED])
def test_a_link_with_an_idempotency_key_is_made_once(
    stack: Stack, fault: Fault, wanted: NewLink
) -> None:
    answered = []

    async def create(one: Client) -> None:
        made = await one.maker.create_once("key", [wanted], None, bulk=False)
        answered.append(made.value[0].code)

    found, _ = broken_by(stack, fault, create)
    assert [code for code, *_ in found] == answered


@pytest.mark.parametrize("fault", FAULTS)
def test_an_alias_without_a_key_is_never_called_anothers_nor_ours_by_guess(
    stack: Stack, fault: Fault
) -> None:
    async def create(one: Client) -> None:
        try:
            made = await one.maker.create(NAMED, None)
        except OutcomeUnknown as unknown:
            assert fault != "request lost"
            assert "nothing tells whose it is" in str(unknown)  # noqa: PT017
        else:
            assert fault != "answer lost"
            assert made.value.code == NAMED.alias

    found, _ = broken_by(stack, fault, create)
    assert found == [(NAMED.alias, NAMED.url, 1, False)]


@pytest.mark.parametrize("fault", FAULTS)
def test_an_alias_that_is_anothers_is_taken(stack: Stack, fault: Fault) -> None:
    async def create(one: Client) -> None:
        other = NewLink.model_construct(url="https://example.org/mine", alias=NAMED.alias)
        with pytest.raises(Problem, match="is taken"):
            await one.maker.create(other, None)

    found, _ = broken_by(stack, fault, create, before=named)
    assert found == [(NAMED.alias, NAMED.url, 1, False)]


async def named(one: Client) -> None:
    await one.maker.create(NAMED, None)


@pytest.mark.parametrize("fault", FAULTS)
def test_an_edit_of_one_version_is_made_once(stack: Stack, fault: Fault) -> None:
    async def edit(one: Client) -> None:
        link = (await one.store.update("spring-sale", CHANGE, [1], None)).value
        assert (link.version, link.url) == (2, CHANGE.url)

    found, _ = broken_by(stack, fault, edit, before=named)
    assert found == [(NAMED.alias, CHANGE.url, 2, False)]


@pytest.mark.parametrize("fault", FAULTS)
def test_an_edit_of_any_version_is_not_tried_again(stack: Stack, fault: Fault) -> None:
    async def edit(one: Client) -> None:
        with pytest.raises(OutcomeUnknown):
            await one.store.update("spring-sale", CHANGE, None, None)

    ((_, _, version, _),), metrics = broken_by(stack, fault, edit, before=named)
    assert version == (1 if fault == "request lost" else 2)
    assert not any(metrics.write_retries.values())


@pytest.mark.parametrize("versions", [[1], None])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_link_is_deleted_once(stack: Stack, fault: Fault, versions: list[int] | None) -> None:
    async def delete(one: Client) -> None:
        assert (await one.store.delete("spring-sale", versions, None)).value == 2

    found, _ = broken_by(stack, fault, delete, before=named)
    assert found == [(NAMED.alias, NAMED.url, 2, True)]


@pytest.mark.parametrize("fault", FAULTS)
def test_without_retries_the_outcome_is_said_to_be_unknown(stack: Stack, fault: Fault) -> None:
    async def main(url: str) -> None:
        async with client(url, by_key=False) as one:
            one.proxy.next = fault
            with pytest.raises(OutcomeUnknown):
                await one.maker.create(PLAIN, None)
            await asyncio.sleep(LATE_S + 0.2)

    with laid_out_database(stack) as url:
        asyncio.run(main(url))
        assert len(rows(url)) == (0 if fault == "request lost" else 1)


def test_once_the_budget_is_spent_no_write_is_tried_again(stack: Stack) -> None:
    async def main(url: str) -> None:
        async with client(url) as one:
            broke = RetryBudget(0)
            assert isinstance(one.maker.writer, RetriesByKey)
            maker = replace(one.maker, writer=replace(one.maker.writer, budget=broke))
            one.proxy.next = "request lost"
            with pytest.raises(OutcomeUnknown):
                await maker.create(PLAIN, None)
            assert one.metrics.write_retries == {"read_back": 0, "sent_again": 0, "refused": 1}

    with laid_out_database(stack) as url:
        asyncio.run(main(url))
        assert rows(url) == []


def test_a_write_that_hangs_and_lands_after_its_retry_makes_no_second_link(stack: Stack) -> None:
    """The server goes on with a statement whose client has gone."""

    async def main(url: str) -> str:
        statements = [*links.STATEMENTS, *link_creation.STATEMENTS]
        primary = Database("primary", url, 4, 0.4, statements, failover=Failover())
        await primary.open()
        writer = RetriesByKey(primary, Metrics(), RetryBudget(0.1), 5.0)
        with psycopg.connect(url) as holder:
            holder.execute("LOCK TABLE links IN SHARE MODE")  # inserts wait; reads do not
            creating = asyncio.create_task(LinkCreation(primary, writer, 10).create(PLAIN, None))
            await asyncio.sleep(1.0)
        made = await creating
        await asyncio.sleep(0.3)
        await primary.close()
        return made.value.code

    with laid_out_database(stack) as url:
        code = asyncio.run(main(url))
        assert rows(url) == [(code, PLAIN.url, 1, False)]
