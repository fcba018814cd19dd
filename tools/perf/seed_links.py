"""Insert the links that the gate's requests ask for: `python seed_links.py POSTGRES_URL`."""

from __future__ import annotations

import sys

import psycopg

SEED = """
    INSERT INTO links (code, url)
    SELECT kind || number, 'https://example.org/articles/' || number || '?from=newsletter'
    FROM (VALUES ('hot', 200), ('cold', 20000)) AS kinds (kind, count),
        generate_series(0, count - 1) AS number
"""


def main(url: str) -> None:
    """Insert them, and have the planner know of them."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SEED)
        connection.execute("ANALYZE links")


if __name__ == "__main__":
    main(sys.argv[1])
