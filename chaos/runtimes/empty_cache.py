"""An empty cache between two configurations, so that no arm inherits another one's values."""

from __future__ import annotations

import redis

from chaos.model.stack import StackError

SCAN_COUNT = 500


def empty_cache(url: str) -> None:
    """Delete every key that has a time to live: those are the cache's, the click queue has none.

    Raises:
        StackError: Redis does not do it; it takes no writes when its disk is full.
    """
    try:
        with redis.Redis.from_url(url) as client:
            for key in client.scan_iter(count=SCAN_COUNT):
                if client.ttl(key) >= 0:
                    client.delete(key)
    except redis.RedisError as error:
        raise StackError(f"the cache in Redis cannot be emptied: {error}") from error
