"""Theory of a failover: what it loses, how long nobody writes, and what a commit waits."""

from __future__ import annotations

from chaos.model.experiment import Prediction


def theory(
    writes_per_s: float, lag_s: float, detect_s: float, ttl_s: float
) -> tuple[Prediction, ...]:
    """Predictions for a replica that is `lag_s` behind.

    The writes lost, in all segments, where commits wait for no replica; the outage in seconds by a
    controller that gives the primary up after `detect_s`, and by one that waits for its lease of
    `ttl_s`; and how long a commit waits, in milliseconds, where it does.
    """
    on_its_way = writes_per_s * lag_s
    return (
        Prediction("λd a failover", "is on its way", lambda own: len(own) * on_its_way),
        Prediction("T + 0.1 s", "detection, then promotion", lambda _: detect_s + 0.1),
        Prediction("ttl", "the lease of the dead primary expires", lambda _: ttl_s),
        Prediction("d", "a commit waits for the replica", lambda _: 1000 * lag_s),
    )
