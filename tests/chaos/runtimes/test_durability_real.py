"""Settings of durability, read from the servers of the lab: a kill shows too little."""

from __future__ import annotations

import psycopg
import pytest

from chaos.model.stack import Stack

pytestmark = pytest.mark.real

SAFE = ("fsync", "full_page_writes", "synchronous_commit")


@pytest.mark.parametrize("setting", SAFE)
def test_every_server_keeps_what_it_has_committed(stack: Stack, setting: str) -> None:
    """Without `fsync` a write survives SIGKILL all the same: the system has it."""
    for url in stack.endpoints.servers.values():
        with psycopg.connect(url) as server:
            assert server.execute(f"SHOW {setting}".encode()).fetchone() == ("on",)
