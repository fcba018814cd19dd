"""Free ports for a lab, disjoint from those of every other lab on this machine."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from chaos.model.stack import StackError

HOST = "127.0.0.1"
_FIRST, _LAST, _BLOCK = 10_000, 32_000, 20
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


@contextmanager
def reserved(names: Sequence[str]) -> Iterator[dict[str, int]]:
    """A port for each name, all from one block, reserved until the end.

    The ports lie below those the kernel gives to outgoing connections, so that a part that is down
    for a while finds its port again. The first port of a block is held open: the next lab sees it
    taken and tries another block; a check for free ports alone would race.
    """
    for base in _bases():
        try:
            sentinel = socket.create_server((HOST, base))
        except OSError:  # taken, by another lab maybe
            continue
        with sentinel:
            ports = dict(zip(names, range(base + 1, base + _BLOCK), strict=False))
            if all(is_free(port) for port in ports.values()):
                yield ports
                return
    raise StackError(f"no {_BLOCK} free ports in a row between {_FIRST} and {_LAST} on {HOST}")


def is_free(port: int) -> bool:
    """True if a server could listen on this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _bases() -> list[int]:
    bases = range(_FIRST, min(_LAST, max(_first_ephemeral(), 12_000)) - _BLOCK, _BLOCK)
    return random.sample(bases, len(bases))


def _first_ephemeral() -> int:
    return int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else _LAST
