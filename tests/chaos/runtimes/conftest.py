"""The stacks that the contract is asked of; a runtime is added by the name of its fixture.

Tests of `any_stack` hold for the fake one, too: it has parts and links that break and answer.
Those of `real_stack` ask for what only a shortener with its databases does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.model.stack import Stack
from tests.support.fake_stack import FakeRuntime, World

REAL = [
    pytest.param("stack", marks=pytest.mark.real, id="embedded"),
    pytest.param("compose_stack", marks=[pytest.mark.real, pytest.mark.alone], id="compose"),
]
STACKS = ["fake", *REAL]


@pytest.fixture
def fake() -> Iterator[Stack]:
    """Nothing but sockets that answer as long as nobody breaks them."""
    with FakeRuntime(World()).up({}, Path()) as stack:
        yield stack


@pytest.fixture(params=STACKS)
def any_stack(request: pytest.FixtureRequest) -> Stack:
    stack: Stack = request.getfixturevalue(request.param)
    return stack


@pytest.fixture(params=REAL)
def real_stack(request: pytest.FixtureRequest) -> Stack:
    stack: Stack = request.getfixturevalue(request.param)
    return stack
