"""Timeouts for a stack on a busy machine; a test of a timeout sets its own.

Where tests run side by side, a write to disk can take a third of a second. With the defaults, which
are meant for production, the stack then works as designed: it goes on without the cache, responds
without a click id, or rejects. Most tests are about something else.
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
