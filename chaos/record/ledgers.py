"""Ledgers of a segment: what clients were told against what the primary holds.

Each is one query on the record. `keys` has every link of the run with its segment; what the primary
holds of no link of the run counts as unexpected in the first segment. `$waiting` are the segments
in which a redirect waits for its click. `forks` has what a server held that lost its role, read
before its own writes were erased: what is lost is looked for there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chaos.model.evidence import Ledger

Counts = Mapping[str, int]

SEGMENT_OF = "coalesce(k.segment, $first)"
CLICKS = f"""
    WITH ids AS (
        SELECT {SEGMENT_OF} AS segment, click_id, key,
            count(*) FILTER (ours) AS times, count(*) FILTER (NOT ours) AS rows
        FROM (SELECT click_id, key, true AS ours FROM {{requests}}
              WHERE operation = 'follow' AND outcome = 'ok' AND click_id <> ''
              UNION ALL SELECT click_id, key, false FROM {{clicks}})
            LEFT JOIN keys AS k USING (key)
        GROUP BY ALL),
    of_key AS (SELECT key, sum(rows) AS rows FROM ids GROUP BY key),
    off AS (
        SELECT {SEGMENT_OF} AS segment,
            sum(abs(coalesce(total, 0) - coalesce(rows, 0))) AS miscounted
        FROM {{totals}} FULL JOIN of_key USING (key) LEFT JOIN keys AS k USING (key) GROUP BY 1),
    asked AS (
        SELECT segment, count(*) FILTER (outcome = 'ok') AS attempted,
            count(*) FILTER (outcome = 'unknown' OR status >= 500
                OR (segment IN (SELECT unnest($waiting::INTEGER[]))
                    AND outcome = 'ok' AND coalesce(click_id, '') = '')) AS unsure
        FROM {{requests}} WHERE operation = 'follow' GROUP BY segment),
    told AS (
        SELECT segment, sum(times) AS acknowledged,
            count(*) FILTER (rows > 0 AND times > 0) AS held,
            coalesce(sum(times - least(rows, 1)) FILTER (times > 0), 0) AS lost,
            coalesce(sum(times) FILTER (rows = 0 AND click_id IN
                (SELECT id FROM {{forks}} WHERE kind = 'clicks')), 0) AS found,
            coalesce(sum(rows - 1) FILTER (rows > 0), 0) AS duplicated,
            count(*) FILTER (times = 0) AS strangers
        FROM ids GROUP BY segment)
    SELECT * FROM told FULL JOIN off USING (segment) FULL JOIN asked USING (segment)
"""


def _clicks(counts: Counts, follows: int) -> Ledger:
    """Clicks acknowledged to clients against those in the primary, by id and link.

    The requests that warm the cache are answered, but not on record, so their clicks have unknown
    ids. So has the click, if any, of a request without an answer or with a gateway's, or, in a mode
    in which it waits for its click, with one that names none: the web process gave up waiting. The
    first give the minimum of unknown ids, all together the maximum.
    """
    strangers = counts["strangers"]
    return Ledger(
        attempted=counts["attempted"],
        acknowledged=counts["acknowledged"],
        held=counts["held"],
        lost=counts["lost"] + max(0, follows - strangers),
        duplicated=counts["duplicated"],
        unexpected=max(0, strangers - follows - counts["unsure"]),
        miscounted=counts["miscounted"],
        found=counts["found"],
    )


LINKS = f"""
    WITH told AS (
        SELECT segment, key,
            coalesce(bool_or(outcome = 'ok') FILTER (operation = 'create'),
                bool_or(operation IS NULL OR operation <> 'create')) AS acknowledged,
            coalesce(bool_or(operation = 'delete' AND (outcome <> 'fail' OR status >= 500)), false)
                AS removed
        FROM keys LEFT JOIN (SELECT key, operation, outcome, status FROM {{requests}}
            WHERE operation IN ('create', 'delete')) USING (key)
        GROUP BY ALL),
    creates AS (
        SELECT segment, max(coalesce(key, '')) AS key, any_value(target) AS target
        FROM {{requests}} WHERE operation = 'create' AND target <> '' GROUP BY segment, op_id),
    made AS (
        SELECT c.target, min(c.segment) AS segment, count(*) FILTER (held.key IS NULL) AS missing
        FROM creates AS c LEFT JOIN {{links}} AS held ON c.key = held.key GROUP BY c.target),
    strange AS (
        SELECT target, count(*) AS rows FROM {{links}} ANTI JOIN keys USING (key) GROUP BY target),
    copies AS (
        SELECT segment, sum(greatest(0, rows - missing)) AS duplicated
        FROM made JOIN strange USING (target) GROUP BY segment),
    compared AS (
        SELECT {SEGMENT_OF} AS segment, count(k.key) AS attempted,
            count(*) FILTER (acknowledged) AS acknowledged,
            count(*) FILTER (acknowledged AND held.key IS NOT NULL AND (removed OR NOT deleted))
                AS held,
            count(*) FILTER (acknowledged AND held.key IS NULL AND k.key IN
                (SELECT id FROM {{forks}} WHERE kind = 'links')) AS found,
            count(*) FILTER (k.key IS NULL) AS unexpected,
            (SELECT count(*) FROM {{requests}} WHERE operation = 'create' AND coalesce(key, '') = ''
                AND (outcome = 'unknown' OR status >= 500)) AS unsure
        FROM told AS k FULL JOIN {{links}} AS held ON k.key = held.key
        GROUP BY 1)
    SELECT *, (SELECT sum(duplicated) FROM copies) AS all_copies
    FROM compared FULL JOIN copies USING (segment)
"""


def _links(counts: Counts, _: int) -> Ledger:
    """Links acknowledged to clients against those in the primary, by key.

    A link of unknown key is a duplicate if a create wrote its target and the link of that create
    is there, too. Else it may come of a request without an answer, or with a gateway's.
    """
    return Ledger(
        attempted=counts["attempted"],
        acknowledged=counts["acknowledged"],
        held=counts["held"],
        lost=counts["acknowledged"] - counts["held"],
        duplicated=counts["duplicated"],
        unexpected=max(0, counts["unexpected"] - counts["all_copies"] - counts["unsure"]),
        found=counts["found"],
    )


EDITS = """
    WITH writes AS (
        SELECT segment, key, version, target, operation, outcome = 'ok' AS told,
            outcome IN ('ok', 'unknown') OR status >= 500 AS could
        FROM {requests} WHERE operation IN ('edit', 'delete')),
    of_key AS (
        SELECT k.segment, key, count(*) FILTER (could) AS could,
            count(*) FILTER (told) - count(DISTINCT w.version) FILTER (told) AS duplicated,
            any_value(l.version) AS held_version
        FROM keys AS k LEFT JOIN writes AS w USING (key) LEFT JOIN {links} AS l USING (key)
        GROUP BY ALL),
    edits AS (
        SELECT segment, count(*) AS attempted, count(*) FILTER (told) AS acknowledged,
            count(*) FILTER (told AND coalesce(l.version, 0) >= w.version) AS held,
            count(*) FILTER (told AND coalesce(l.version, 0) < w.version AND EXISTS (
                FROM {forks} AS f WHERE kind = 'links' AND id = w.key AND f.version >= w.version))
                AS found,
            count(*) FILTER (told AND l.version = w.version AND NOT deleted
                AND l.target <> w.target) AS other
        FROM writes AS w LEFT JOIN {links} AS l USING (key) WHERE operation = 'edit'
        GROUP BY segment)
    SELECT segment, attempted, acknowledged, held, found, duplicated,
        coalesce(other, 0) + beyond AS unexpected
    FROM (SELECT segment, sum(duplicated) AS duplicated,
            count(*) FILTER (held_version > 1 + could) AS beyond
        FROM of_key GROUP BY segment) LEFT JOIN edits USING (segment)
"""


def _edits(counts: Counts, _: int) -> Ledger:
    """Edits acknowledged to clients against the version and target that the primary holds."""
    return Ledger(
        attempted=counts["attempted"],
        acknowledged=counts["acknowledged"],
        held=counts["held"],
        lost=counts["acknowledged"] - counts["held"],
        duplicated=counts["duplicated"],
        unexpected=counts["unexpected"],
        found=counts["found"],
    )


ACKNOWLEDGED_WRITES = """
    SELECT segment, done_s,
        CASE operation
            WHEN 'create' THEN l.key IS NULL OR (deleted AND NOT key IN
                (SELECT key FROM {requests} WHERE operation = 'delete' AND key IS NOT NULL
                    AND (outcome <> 'fail' OR status >= 500)))
            WHEN 'edit' THEN coalesce(l.version, 0) < r.version
            ELSE false
        END AS lost
    FROM (SELECT segment, done_s, operation, key, version FROM {requests}
        WHERE operation IN ('create', 'edit', 'delete') AND outcome = 'ok') AS r
        LEFT JOIN {links} AS l USING (key)
"""  # one by one, lost by the same rules; that a deletion was lost is in no ledger


KINDS: Mapping[str, tuple[str, Callable[[Counts, int], Ledger]]] = {
    "clicks": (CLICKS, _clicks),
    "links": (LINKS, _links),
    "edits": (EDITS, _edits),
}
