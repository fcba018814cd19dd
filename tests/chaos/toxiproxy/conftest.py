"""The contract tests run against our server, and against the original where there is one."""

from collections.abc import Iterator

import pytest

from tests.chaos.toxiproxy.servers import (
    EMBEDDED,
    ORIGINAL,
    ProxiedLink,
    ToxiproxyServer,
    original_server,
    proxied_link,
    running,
)


@pytest.fixture(scope="session", params=[EMBEDDED, ORIGINAL])
def any_server(request: pytest.FixtureRequest) -> Iterator[ToxiproxyServer]:
    if request.param == ORIGINAL and original_server() is None:
        pytest.skip("no toxiproxy-server on PATH, and ORIGINAL_TOXIPROXY names none")
    with running(request.param) as server:
        yield server


@pytest.fixture(scope="session")
def our_server() -> Iterator[ToxiproxyServer]:
    with running(EMBEDDED) as server:
        yield server


@pytest.fixture
def server(any_server: ToxiproxyServer) -> Iterator[ToxiproxyServer]:
    """Either server, without proxies."""
    yield any_server
    any_server.delete_all()


@pytest.fixture
def link(server: ToxiproxyServer) -> Iterator[ProxiedLink]:
    """A proxy of either server, with a listener behind it."""
    with proxied_link(server) as made:
        yield made


@pytest.fixture
def embedded(our_server: ToxiproxyServer) -> Iterator[ToxiproxyServer]:
    """Our server, without proxies: for what it does better than the original."""
    yield our_server
    our_server.delete_all()


@pytest.fixture
def our_link(embedded: ToxiproxyServer) -> Iterator[ProxiedLink]:
    """A proxy of our server, with a listener behind it."""
    with proxied_link(embedded) as made:
        yield made
