"""Statements of the application, by their purpose: what Postgres counted of its role, whatever name
or comment the application gives them.

The lab itself uses the superuser. A statement that reads links is a look-up, unless its text is one
of the few that serve the API. The patterns mean the same to Postgres and to Python.
"""

from __future__ import annotations

import re

from chaos.runtimes.topology import DATABASE

LOOK_UP, STRANGE_PURPOSE = "look-up", "strange"
LINKS = r"(^|\W)links(\W|$)"
# The purposes of statements, tried in this order, by their text as Postgres has it: a constant is a
# parameter there.
PURPOSES = (
    ("schema", r"^\s*(create|alter|drop|do|lock)\s"),
    ("sweep", r"^\s*update links\s.*\sskip locked"),
    ("write", r"^\s*(update links|insert into links|with claim as \(\s*insert into)\s"),
    ("read", r"^\s*select code, url, version, disabled, .*\sfrom links\s+where code = \$1 and"),
    (LOOK_UP, LINKS),
    ("session", r"^\s*(begin|start transaction|commit|rollback|savepoint|release|set local)(\W|$)"),
    ("session", r"^\s*select (\$1|1)(\W|$)"),
    ("session", r"^\s*select (current_setting|pg_advisory_xact_lock|to_regclass)\("),
    ("session", r"^\s*with recursive typeinfo_tree\("),  # types, as asyncpg asks for them
    ("schema", r"^\s*(select|insert into) .*schema_migrations(\s|$)"),
    ("clicks", r"^\s*with given as \("),
    ("clicks", r"^\s*(select .* from|insert into|delete from) click_outbox\s"),
    ("clicks", r"^\s*select relname from pg_inherits\s"),
    (
        "statistics",
        r"^\s*select\s+\(select row_to_json\(counted\) from \(\s*select total, bots from",
    ),
    ("keys", r"^\s*(select .* from|insert into|delete from|update) (api|idempotency)_keys\s"),
    ("visitors", r"^\s*(select .* from|insert into) deployment\s"),
    ("position", r"^\s*select (received_tli|left\(pg_walfile_name\(lsn\))"),
)
# White space is of whoever wrote a statement: it is taken as single blanks.
_OWN = f"""(
    SELECT calls, regexp_replace(query, '\\s+', ' ', 'g') AS text
    FROM pg_stat_statements JOIN pg_roles ON pg_roles.oid = userid
    WHERE rolname = '{DATABASE}' AND calls > 0) AS own"""
_PURPOSE = "CASE {} ELSE '{}' END".format(
    " ".join(f"WHEN text ~* '{pattern}' THEN '{purpose}'" for purpose, pattern in PURPOSES),
    STRANGE_PURPOSE,
)
_SUM = "coalesce(sum(calls) FILTER (WHERE purpose = '{}'), 0)::float8"

COUNTS = f"""
    SELECT {_SUM.format(LOOK_UP)}, {_SUM.format("read")}, {_SUM.format("write")},
        extract(epoch FROM pg_postmaster_start_time())::float8
    FROM (SELECT calls, {_PURPOSE} AS purpose FROM {_OWN} WHERE text ~* '{LINKS}') AS counted
"""
STRANGE = f"""
    SELECT left(text, 200), sum(calls)::float8 FROM {_OWN}
    WHERE {_PURPOSE} = '{STRANGE_PURPOSE}' GROUP BY 1
"""


def purpose_of(text: str) -> str:
    """The purpose of a statement, as Postgres is asked for it."""
    text = re.sub(r"\s+", " ", text)
    found = (purpose for purpose, own in PURPOSES if re.search(own, text, re.I | re.S))
    return next(found, STRANGE_PURPOSE)
