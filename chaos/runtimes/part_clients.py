"""Short-lived clients of single parts: readiness, versions, one query, an empty cache."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import LiteralString

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chaos.model.stack import StackError
from chaos.runtimes.topology import NO_SUCH_PAGE, SUPERUSER, Address, dsn

TIMEOUT_S = 2.0
SCAN_COUNT = 500


def is_ready(part: str, address: Address) -> bool:
    """True if a part serves."""
    match part:
        case "postgres-1" | "postgres-2" | "postgres-3":
            return _postgres_answers(address)
        case "redis":
            return _redis_answers(address)
        case "toxiproxy":
            return http_status(address, "/version") == 200
        case "nginx":
            return http_status(address, "/metrics") == 404  # nginx's own answer, not the web's
        case _:
            return http_status(address, "/readyz") == 200


def http_status(address: Address, path: str) -> int | None:
    """The status of a GET, `None` when there is no answer."""
    try:
        with _answer(address, path) as answer:
            return answer.status
    except (OSError, http.client.HTTPException):
        return None


def is_web(address: Address) -> bool:
    """True if a web process answers here, itself or through nginx: others have no request ids."""
    try:
        with _answer(address, NO_SUCH_PAGE) as answer:
            return answer.status == 404 and answer.getheader("x-request-id") is not None
    except (OSError, http.client.HTTPException):
        return False


@contextmanager
def _answer(address: Address, path: str) -> Iterator[http.client.HTTPResponse]:
    with closing(http.client.HTTPConnection(*address, timeout=TIMEOUT_S)) as connection:
        connection.request("GET", path)
        yield connection.getresponse()


# --- Postgres ----------------------------------------------------------------------------------


def postgres_connection(address: Address, database: str) -> psycopg.Connection:
    """A connection as superuser."""
    return psycopg.connect(
        dsn(address, SUPERUSER, database),
        autocommit=True,
        connect_timeout=int(TIMEOUT_S),
        sslmode="disable",
    )


def fetch(address: Address, query: LiteralString, *values: object) -> object:
    """The one value that a query returns."""
    with postgres_connection(address, "postgres") as connection:
        row = connection.execute(query, values or None).fetchone()
    return row[0] if row else None


def postgres_version(address: Address) -> str:
    """The version the server reports."""
    return str(fetch(address, "SHOW server_version"))


def _postgres_answers(address: Address) -> bool:
    try:
        return fetch(address, "SELECT true") is True
    except psycopg.OperationalError:
        return False


# --- Redis -------------------------------------------------------------------------------------


def empty_cache(url: str) -> None:
    """Delete every key that has a TTL, so that no arm inherits another one's values.

    Those keys are the cache's; the click queue has none.

    Raises:
        StackError: Redis refuses, as it does when its disk is full.
    """
    try:
        with redis.Redis.from_url(url) as client:
            for key in client.scan_iter(count=SCAN_COUNT):
                if client.ttl(key) >= 0:
                    client.delete(key)
    except redis.RedisError as error:
        raise StackError(f"the cache in Redis cannot be emptied: {error}") from error


def redis_version(address: Address) -> str:
    """The version the server reports; Valkey has its own and that of the Redis it replaces."""
    with _redis(address) as client:
        info = client.info("server")
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']} (as Redis {info['redis_version']})"
    return f"Redis {info['redis_version']}"


def _redis_answers(address: Address) -> bool:
    """False, too, while it loads its file."""
    with _redis(address) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def _redis(address: Address) -> redis.Redis:
    return redis.Redis(*address, socket_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0))


# --- Toxiproxy and nginx -----------------------------------------------------------------------


def toxiproxy_version(address: Address) -> str:
    """The version the server reports."""
    with _answer(address, "/version") as answer:
        return str(json.load(answer)["version"])


def nginx_version(program: str | Path) -> str:
    """The version that `nginx -v` prints, on stderr."""
    done = subprocess.run(
        [program, "-v"], capture_output=True, text=True, check=True, timeout=TIMEOUT_S
    )
    return done.stderr.strip().rpartition("/")[2]
