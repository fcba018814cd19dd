"""Witnesses: what the evidence of a segment says of an act, apart from the act's own probe."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """The time for which an act was in force."""

    from_s: float
    to_s: float


@dataclass(frozen=True)
class Witnesses:
    """All witnesses of one kind: how many there are, and what contradicts the act, if any does."""

    of: str  # what they are, in words: `look-ups on the replica`
    count: int
    against: str = ""
