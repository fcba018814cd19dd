"""Retry budget: limit retries to a share of the successes, so that they cannot feed an overload.

Source: the token bucket of the AWS SDKs (Brooker, "Fixing retries with token buckets and circuit
breakers", 2022): a success earns a part of a token, and a retry costs a whole one.
"""

from __future__ import annotations

_MAX_TOKENS = 10.0  # bounds the burst after a quiet time


class RetryBudget:
    """Tokens for retries, `share` of one for each success; a share of 0 allows no retries."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._tokens = _MAX_TOKENS if share else 0.0

    def earn(self) -> None:
        """Record a success."""
        self._tokens = min(_MAX_TOKENS, self._tokens + self._share)

    def spend(self) -> bool:
        """Take a token and return true, if there is one."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
