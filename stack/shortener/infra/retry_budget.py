"""A budget for retries: a share of the calls that go well, so that retries cannot feed an overload.

Source: the token bucket of the AWS SDKs (Brooker, "Fixing retries with token buckets and circuit
breakers", 2022): every success earns a part of a token, and every retry costs a whole one.
"""

from __future__ import annotations

_MOST = 10.0  # after a quiet night a burst of retries must still be a small one


class RetryBudget:
    """Tokens for retries, `share` of one for each success; a share of 0 means no retries at all."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._tokens = _MOST if share else 0.0

    def earn(self) -> None:
        """Note a success."""
        self._tokens = min(_MOST, self._tokens + self._share)

    def spend(self) -> bool:
        """Whether a retry may be made now; if so, it is paid for."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
