"""Retries: which answers are tried again, after which pause, within which budget."""

from __future__ import annotations

from collections.abc import Iterator

from chaos.model.traffic import NO_LIMIT, TOO_MANY_REQUESTS, Retries
from scenarios.generator.http_client import Response

BURST = 10.0  # retries that even the smallest budget allows


class RetryPolicy:
    """Decides on retries in one segment; `shares` are random, from 0 to 1."""

    def __init__(self, retries: Retries, shares: Iterator[float]) -> None:
        self._retries = retries
        self._shares = shares
        self._first_tries = self._granted = 0

    def pause_s(self, attempt: int, answer: Response) -> float | None:
        """The pause before the next try; `None` if none follows. Each answer counts once."""
        if attempt == 1:
            self._first_tries += 1
        if not _is_no_good(answer) or attempt >= self._retries.tries or not self._is_affordable():
            return None
        self._granted += 1
        longest_s: float = self._retries.pause_s * 2.0 ** (attempt - 1)
        return longest_s * next(self._shares)

    def _is_affordable(self) -> bool:
        budget = self._retries.budget
        return budget >= NO_LIMIT or self._granted + 1 <= budget * self._first_tries + BURST


def _is_no_good(answer: Response) -> bool:
    return not answer.status or answer.status == TOO_MANY_REQUESTS or answer.status >= 500
