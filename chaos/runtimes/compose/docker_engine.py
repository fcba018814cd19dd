"""A connection to the Docker engine, or an error that says why there is none."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import docker
from docker.errors import APIError, DockerException
from docker.utils import parse_host
from requests import RequestException

from chaos.model.stack import StackError

TIMEOUT_S = 30
_UNIX = "http+unix://"


class NoLab(StackError):
    """There is no lab in containers that is ours, or no engine that could have one."""


class AnotherCheckout(NoLab):
    """There is one, but it was started from another folder."""


@contextmanager
def engine() -> Iterator[docker.DockerClient]:
    """A connection to the engine that the `docker` command would use.

    Raises:
        NoLab: there is none.
        StackError: inside the context, it refused a request.
    """
    try:
        _connect_once()
        client = docker.from_env(timeout=TIMEOUT_S)
    except (DockerException, OSError, ValueError) as error:
        host = os.environ.get("DOCKER_HOST")
        at = f" at DOCKER_HOST={host}" if host else ""
        raise NoLab(
            f"no Docker engine can be reached{at} ({_why(error)}): start one, "
            "or use the embedded stack, which needs none"
        ) from error
    try:
        client.ping()
        yield client
    except (APIError, RequestException) as error:
        raise StackError(f"Docker: {_why(error)}") from error
    finally:
        client.close()


def _connect_once() -> None:
    """Connect to the engine's socket once, for the error; docker-py would leave it open."""
    host = str(parse_host(os.environ.get("DOCKER_HOST")))
    if host.startswith(_UNIX):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(TIMEOUT_S)
            probe.connect(host.removeprefix(_UNIX))


def _why(error: Exception) -> str:
    explanation = getattr(error, "explanation", None)
    return str(explanation or error).strip()
