"""Redis connections that fail fast: no hidden retries, every wait bounded."""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig


def connect(url: str, timeout_s: float, connections: int, block_s: float = 0.0) -> Redis:
    """Create a client with a limited pool; each wait takes `timeout_s` at most.

    Commands that block on the server may take `block_s` more. Retries are left to the caller, since
    a repeated command may do harm.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=timeout_s,
        socket_timeout=timeout_s + block_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    return Redis.from_pool(pool)
