"""Columns of a record that stay on disk, so that a record may be larger than memory.

DuckDB sorts and groups within `MEMORY` and spills beyond that. Its results are stored as plain
columns in unlinked files, which vanish with the process however it ends. What was read last stays
in memory, up to `KEPT_BYTES`; the rest is read at each use.
"""

from __future__ import annotations

import os
import subprocess
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryFile, mkdtemp
from typing import IO, Any, Self
from weakref import finalize

import duckdb
import numpy as np
from numpy.typing import NDArray

from chaos.model.evidence import Requests
from chaos.model.request_record import OPERATIONS, OUTCOMES, SERVED_FROM

MEMORY = "300MB"
BATCH_ROWS = 400_000
KEPT_BYTES = 128_000_000

Columns = Mapping[str, NDArray[Any]]
Query = Callable[..., Columns]  # SQL on the file {}, and the values of its parameters


@contextmanager
def bounded_duckdb(run_dir: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with `MEMORY` at most; it spills into the run's directory."""
    inside = run_dir.absolute() / f".spill-{os.getpid()}"
    spill = str(inside) if _can_hold(run_dir) else mkdtemp(prefix="linkstorm-spill-")
    with (
        _removed_at_the_end(spill),
        duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": spill}) as db,
    ):
        yield db


def _can_hold(run_dir: Path) -> bool:
    """True if it can be written and its name is UTF-8, as DuckDB needs; else spill to /tmp."""
    with suppress(UnicodeEncodeError):
        return os.access(str(run_dir.absolute()).encode(), os.W_OK)
    return False


@contextmanager
def _removed_at_the_end(folder: str) -> Iterator[None]:
    """Remove a folder however this process ends: a shell waits for its end of a pipe."""
    command = ["sh", "-c", 'read -r _; [ ! -e "$0" ] || exec rm -rf -- "$0"', folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        yield


class StoredColumns:
    """Columns of equal length on disk, of which any range of rows can be read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory if _can_hold(directory) else None
        self._files: dict[str, IO[bytes]] = {}
        self._types: dict[str, np.dtype[Any]] = {}
        self._kept: OrderedDict[tuple[str, int, int], NDArray[Any]] = OrderedDict()
        self._kept_bytes = 0
        self._open = ExitStack()
        finalize(self, self._open.close)

    def add(self, columns: Columns) -> None:
        """Append rows; the first ones define the columns and their types."""
        for name, values in columns.items():
            if name not in self._files:
                file = TemporaryFile(dir=self._directory)  # noqa: SIM115
                self._files[name] = self._open.enter_context(file)
                self._types[name] = values.dtype
            self._files[name].seek(0, os.SEEK_END)
            self._files[name].write(np.ascontiguousarray(values, self._types[name]).data)

    def read(self, name: str, first: int, last: int) -> NDArray[Any]:
        """Read a column's rows from `first` to before `last`; nobody may change them."""
        place = name, first, last
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place]
        file, kind = self._files[name], self._types[name]
        file.seek(first * kind.itemsize)
        values = np.fromfile(file, kind, last - first)
        values.flags.writeable = False
        self._keep(place, values)
        return values

    def _keep(self, place: tuple[str, int, int], values: NDArray[Any]) -> None:
        """Keep what was read, in place of what was used longest ago."""
        self._kept[place] = values
        self._kept_bytes += values.nbytes
        while self._kept_bytes > KEPT_BYTES:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= dropped.nbytes


# --- requests ----------------------------------------------------------------------------------

COLUMN_NAMES = frozenset(field.name for field in fields(Requests))
ENUMS = {  # stored as indices into these lists
    "outcome": np.array(["", *OUTCOMES]),
    "served_from": np.array(["", *SERVED_FROM]),
    "operation": np.array(["", *OPERATIONS]),
}


class StoredRequests(Requests):
    """Requests of one segment on disk: a column is read when it is used."""

    _store: StoredColumns
    _rows: tuple[int, int]

    @classmethod
    def of(cls, store: StoredColumns, rows: tuple[int, int]) -> Self:
        """Requests from the first of two rows to before the second."""
        requests = object.__new__(cls)
        vars(requests).update(_store=store, _rows=rows)
        return requests

    def __getattr__(self, name: str) -> NDArray[Any]:
        if name not in COLUMN_NAMES:
            raise AttributeError(name)
        values = self._store.read(name, *self._rows)
        return ENUMS[name][values] if name in ENUMS else values


SECOND = "coalesce(floor(intended_s), 'inf'::DOUBLE)"
SECONDS = f"""
    SELECT segment, {SECOND} AS second, count(*) AS rows FROM {{}} WHERE segment IS NOT NULL
    GROUP BY ALL ORDER BY ALL
"""
COLUMNS = """
    SELECT intended_s, sent_s, done_s, rank::BIGINT AS rank, status::BIGINT AS status,
        version::BIGINT AS version, age_ms,
        coalesce(list_position($outcome, outcome) - 1, 0)::TINYINT AS outcome,
        coalesce(list_position($served_from, served_from) - 1, 0)::TINYINT AS served_from,
        coalesce(list_position($operation, operation) - 1, 0)::TINYINT AS operation,
        (hash(session) >> 1)::BIGINT AS session, attempt::BIGINT AS attempt, last,
        coalesce(timeline, -1)::BIGINT AS timeline
"""
BATCH = f"""
    {COLUMNS} FROM {{}} WHERE segment BETWEEN $segment AND $last_segment
        AND (segment > $segment OR {SECOND} >= $second)
        AND (segment < $last_segment OR {SECOND} <= $last_second)
    ORDER BY segment, intended_s
"""


def store_requests(query: Query, directory: Path) -> Callable[[int], StoredRequests]:
    """Store all requests; return a function that gives those of a segment, by intended time.

    They are read in batches of whole seconds, to bound memory.
    """
    store = StoredColumns(directory)
    lists = {name: texts.tolist() for name, texts in ENUMS.items()}
    store.add(query(f"{COLUMNS} FROM {{}} LIMIT 0", **lists))
    seconds = query(SECONDS)
    for first, last in _batches(seconds["rows"].tolist()):
        edges = {
            f"{end}{name}": seconds[name][place].item()
            for end, place in (("", first), ("last_", last))
            for name in ("segment", "second")
        }
        store.add(query(BATCH, **edges, **lists))
    ends = np.cumsum([0, *seconds["rows"]])

    def of(segment: int) -> StoredRequests:
        first, last = ends[np.searchsorted(seconds["segment"], [segment, segment + 1])]
        return StoredRequests.of(store, (int(first), int(last)))

    return of


def _batches(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last index of runs of seconds with about `BATCH_ROWS` rows."""
    first, count = 0, 0
    for place, more in enumerate(rows):
        if count and count + more > BATCH_ROWS:
            yield first, place - 1
            first, count = place, 0
        count += more
    if count:
        yield first, len(rows) - 1
