"""Whether a part answers yet."""

from __future__ import annotations

import http.client
import json
import subprocess
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

Address = tuple[str, int]
TIMEOUT_S = 2.0


def http_status(address: Address, path: str) -> int | None:
    """The status of a GET, `None` when there is no answer."""
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def redis_answers(address: Address) -> bool:
    """Whether Redis serves; while it loads its file it refuses."""
    with _redis(address) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def redis_version(address: Address) -> str:
    """What the server says it is; Valkey gives both its own version and the Redis it speaks."""
    with _redis(address) as client:
        info = client.info("server")
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']} (as Redis {info['redis_version']})"
    return f"Redis {info['redis_version']}"


def toxiproxy_version(address: Address) -> str:
    """What the server says it is."""
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/version")
        return str(json.loads(connection.getresponse().read())["version"])
    finally:
        connection.close()


def nginx_version(program: str | Path) -> str:
    """What `nginx -v` says, which it says on stderr."""
    said = subprocess.run(
        [program, "-v"], capture_output=True, text=True, check=True, timeout=TIMEOUT_S
    )
    return said.stderr.strip().rpartition("/")[2]


def _redis(address: Address) -> redis.Redis:
    return redis.Redis(*address, socket_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0))
