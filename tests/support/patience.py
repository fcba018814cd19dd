"""Deadlines that a stack keeps on a busy machine; a test that is about one sets its own.

Where tests run side by side, a write to disk can take a third of a second. With the defaults, which
are meant for production, the stack then does what it should: it goes on without the cache, answers
without a click's id, refuses. Most tests ask for something else.
"""

from __future__ import annotations

from chaos.model.stack import Settings

PATIENT: Settings = {
    "CACHE_TIMEOUT_S": "5",
    "REPLICA_TIMEOUT_S": "5",
    "PRIMARY_TIMEOUT_S": "10",
    "FILL_LOCK_TTL_S": "20",
    "FILL_WAIT_S": "15",
    "POOL_TIMEOUT_S": "10",
    "CLICK_WAIT_S": "5",
    "REQUEST_DEADLINE_S": "20",
}
