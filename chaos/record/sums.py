"""Sums of a table's rows, taken as they are written and again as they are read.

The order of rows does not matter, and a row that is lost, doubled or changed does. Times are told
to the microsecond, and a missing value is as an empty one, as in CSV. Requests, of which there are
most, are summed as a file, once their shards are one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from chaos.record.files import Files

MODULUS = 2**53  # every reader of JSON keeps a number below it
SEPARATOR = "\x1f"
SCALE = 1e6


@dataclass(frozen=True)
class Sum:
    """The number of rows, and the sum of their hashes."""

    rows: int
    hashes: int


class Summing:
    """Rows passed on as they are, and summed."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._kinds = [*columns.values()]
        self.rows = self.hashes = 0

    @property
    def total(self) -> Sum:
        """The sum of the rows so far."""
        return Sum(self.rows, self.hashes % MODULUS)

    def add(self, row: Sequence[object]) -> None:
        """Add one row."""
        text = SEPARATOR.join(map(_text, row, self._kinds)).encode("utf-8", "replace")
        self.rows += 1
        self.hashes += int.from_bytes(
            hashlib.md5(text, usedforsecurity=False).digest()[8:], "little"
        )

    def each(self, rows: Iterable[Sequence[object]]) -> Iterator[Sequence[object]]:
        """Add each row, and pass it on."""
        for row in rows:
            self.add(row)
            yield row


def _text(value: object, kind: str) -> str:
    if value is None or value == "":
        return ""
    if kind == "DOUBLE":
        number = value if isinstance(value, float) else float(str(value))
        return str(math.floor(number * SCALE + 0.5)) if math.isfinite(number) else "?"
    return str(value).lower() if kind == "BOOLEAN" else str(value)


def sum_of_file(path: Path, db: duckdb.DuckDBPyConnection) -> Sum:
    """The sum of a finished file of rows, by its bytes: a million hashes take seconds.

    Raises:
        OSError: it cannot be read.
        duckdb.Error: it is no Parquet file.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    with Files() as files:
        rows = db.execute(f"SELECT count(*) FROM read_parquet('{files.named(path)}')").fetchall()
    return Sum(int(rows[0][0]), int.from_bytes(digest[:8], "little") % MODULUS)


def sum_sql(columns: Mapping[str, str]) -> str:
    """The same sum of `{}` as SQL: the columns `rows` and `hashes`."""
    texts = ", ".join(_sql_text(name, kind) for name, kind in columns.items())
    return (
        f"SELECT count(*) AS rows, coalesce(sum(md5_number_lower(concat_ws(chr(31), {texts}))"
        f"::HUGEINT) % {MODULUS}, 0)::BIGINT AS hashes FROM {{}}"
    )


def _sql_text(name: str, kind: str) -> str:
    text = f"{name}::VARCHAR"
    if kind == "DOUBLE":
        whole = f"floor({name} * {SCALE:.0f}.0::DOUBLE + 0.5)::HUGEINT::VARCHAR"
        text = f"CASE WHEN isfinite({name}) THEN {whole} ELSE '?' END"
        text = f"CASE WHEN {name} IS NULL THEN NULL ELSE {text} END"
    return f"coalesce({text}, '')"
