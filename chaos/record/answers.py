"""Answers against what writers had asked for: the writer's word, not the product's.

`prepared` has the target that the generator asked for when it made a shared link, at version 1.
Where a version was acknowledged, its target is known; a write without an answer (or with a
gateway's) may have come to be any version. What another link holds is never right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaos.model.evidence import Answers

STATUSES: Mapping[str, int] = {
    "follow": 302,
    "create": 201,
    "edit": 200,
    "delete": 204,
    "stats": 200,
}
PREPARED = """
    CREATE TEMP TABLE prepared AS
    SELECT unnest($codes::VARCHAR[]) AS key, unnest($targets::VARCHAR[]) AS target
"""
WRITTEN = """
    WITH writes AS (
        SELECT key, 1 AS version, target, true AS told FROM prepared
        UNION ALL
        SELECT key, version, target, outcome = 'ok' AND version > 0 FROM {requests}
        WHERE operation IN ('create', 'edit')
            AND (outcome IN ('ok', 'unknown') OR status >= 500)),
    told AS (SELECT key, version, min(target) AS wanted, list(DISTINCT target) AS targets
        FROM writes WHERE told GROUP BY ALL),
    unsure AS (SELECT key, list(DISTINCT target) AS others FROM writes WHERE NOT told
        GROUP BY ALL),
    seen AS ({seen})
    SELECT coalesce(sum(times), 0)::BIGINT AS answers,
        coalesce(sum(times) FILTER (written AND NOT right_one), 0)::BIGINT AS wrong,
        coalesce(sum(times) FILTER (NOT written), 0)::BIGINT AS unwritten,
        coalesce(min(example) FILTER (written AND NOT right_one), '') AS example
    FROM (SELECT times, key IN (SELECT key FROM writes) AS written,
            coalesce(list_contains(targets, seen.target), false)
                OR coalesce(list_contains(others, seen.target), false) AS right_one,
            concat('link ', key, ' at version ', seen.version, ' got ',
                coalesce(nullif(seen.target, ''), 'no target'), ', expected ',
                coalesce(wanted, 'one of those tried')) AS example
        FROM seen LEFT JOIN told USING (key, version) LEFT JOIN unsure USING (key))
"""
FOLLOWED = """
    SELECT key, version, coalesce(target, '') AS target, count(*) AS times FROM {requests}
    WHERE operation = 'follow' AND outcome = 'ok' GROUP BY ALL
"""
HELD = """
    SELECT key, l.version, coalesce(l.target, '') AS target, 1 AS times
    FROM {links} AS l SEMI JOIN keys USING (key) WHERE NOT deleted
"""
ODD_STATUSES = f"""
    SELECT count(*) AS odd, coalesce(min(concat(operation, ' of ', key, ' got ', status)), '')
        AS example
    FROM {{}} WHERE outcome = 'ok'
        AND status IS DISTINCT FROM map({[*STATUSES]}, {[*STATUSES.values()]})[operation]
"""


def answers(ask: Any, *, read_back: bool) -> Answers:
    """Count what was answered; `ask` queries tables by name, as in `chaos.record.reader`."""
    followed = _compared(ask, FOLLOWED)
    held = (
        _compared(ask, HELD) if read_back else dict.fromkeys(("answers", "wrong", "unwritten"), 0)
    )
    odd = _row(ask("requests", ODD_STATUSES))
    examples = [str(counted.get("example", "")) for counted in (followed, held, odd)]
    return Answers(
        followed=followed["answers"],
        held=held["answers"],
        misled=followed["wrong"],
        misheld=held["wrong"],
        unwritten=followed["unwritten"] + held["unwritten"],
        odd_statuses=odd["odd"],
        examples=tuple(filter(None, examples)),
    )


def _compared(ask: Any, seen: str) -> dict[str, Any]:
    return _row(ask("requests", WRITTEN.replace("{seen}", seen)))


def _row(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The only row, in Python's types."""
    values = {name: column[0] for name, column in columns.items()}
    return {n: v if isinstance(v, str) else int(v) for n, v in values.items()}
