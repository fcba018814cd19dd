"""The Docker engine, or words on why there is none to talk to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import docker
from docker.errors import APIError, DockerException
from requests import RequestException

from chaos.model import StackError

TIMEOUT_S = 30


class NoLab(StackError):
    """There is no lab in containers that is ours, or no engine that could have one."""


class AnotherCheckout(NoLab):
    """There is one, but it was started from another folder."""


@contextmanager
def engine() -> Iterator[docker.DockerClient]:
    """A connection to the engine that the `docker` command would use.

    Raises:
        NoLab: there is none.
        StackError: inside the context, it refused what it was asked.
    """
    try:
        client = docker.from_env(timeout=TIMEOUT_S)
    except DockerException as error:
        raise NoLab(
            f"no Docker engine can be reached ({_why(error)}): start one, "
            "or use the embedded stack, which needs none"
        ) from error
    try:
        client.ping()
        yield client
    except (APIError, RequestException) as error:
        raise StackError(f"Docker: {_why(error)}") from error
    finally:
        client.close()


def _why(error: Exception) -> str:
    explanation = getattr(error, "explanation", None)
    return str(explanation or error).strip()
