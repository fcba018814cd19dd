"""The shelf: columns of a record that stay on disk, so that a record may be larger than memory.

DuckDB sorts and groups within `MEMORY` and spills beyond that. What it yields is kept as plain
columns in files without a name, which are gone with the process however that ends, and is read
from there each time that it is asked for.
"""

from __future__ import annotations

import os
import subprocess
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

MEMORY = "300MB"
BATCH_ROWS = 400_000

Columns = Mapping[str, NDArray[Any]]
Ask = Callable[..., Columns]  # SQL on a file that it calls {}, and the values of its parameters


@contextmanager
def bounded(run_dir: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with `MEMORY` at most; what it spills lies in the run's directory until the end."""
    mine = run_dir.absolute() / f".spill-{os.getpid()}"
    spill = str(mine) if _can_hold(run_dir) else mkdtemp(prefix="linkstorm-spill-")
    with (
        _removed_at_the_end(spill),
        duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": spill}) as db,
    ):
        yield db


def _can_hold(run_dir: Path) -> bool:
    """It can be written, and DuckDB can be given its name; else the system's folder has to do."""
    with suppress(UnicodeEncodeError):
        return os.access(str(run_dir.absolute()).encode(), os.W_OK)
    return False


@contextmanager
def _removed_at_the_end(folder: str) -> Iterator[None]:
    """However we end: a shell waits for the end of a pipe whose other end only we hold."""
    command = ["sh", "-c", 'read -r _; [ ! -e "$0" ] || exec rm -rf -- "$0"', folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        yield


class StoredColumns:
    """Columns of equal length on disk, of which any stretch of rows can be read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory if _can_hold(directory) else None
        self._files: dict[str, IO[bytes]] = {}
        self._types: dict[str, np.dtype[Any]] = {}
        self._open = ExitStack()
        finalize(self, self._open.close)

    def add(self, columns: Columns) -> None:
        """Put rows behind those that are there; the first ones say which columns there are."""
        for name, values in columns.items():
            if name not in self._files:
                file = TemporaryFile(dir=self._directory)  # noqa: SIM115
                self._files[name] = self._open.enter_context(file)
                self._types[name] = values.dtype
            self._files[name].seek(0, os.SEEK_END)
            self._files[name].write(np.ascontiguousarray(values, self._types[name]).data)

    def read(self, name: str, first: int, last: int) -> NDArray[Any]:
        """A column's rows from `first` up to and without `last`."""
        file, kind = self._files[name], self._types[name]
        file.seek(first * kind.itemsize)
        return np.fromfile(file, kind, last - first)


# --- requests ----------------------------------------------------------------------------------

NAMES = frozenset(field.name for field in fields(Requests))
TEXTS = {  # kept as places in these lists
    "outcome": np.array(["", "ok", "fail", "unknown"]),
    "served_from": np.array(["", "hit", "stale", "early", "wait", "miss", "near"]),
}


class StoredRequests(Requests):
    """Requests of one segment that are not in memory: a column is read when it is asked for."""

    _shelf: StoredColumns
    _rows: tuple[int, int]

    @classmethod
    def on(cls, shelf: StoredColumns, rows: tuple[int, int]) -> Self:
        """Those from the first of two rows up to and without the second."""
        shelved = object.__new__(cls)
        vars(shelved).update(_shelf=shelf, _rows=rows)
        return shelved

    def __getattr__(self, name: str) -> NDArray[Any]:
        if name not in NAMES:
            raise AttributeError(name)
        values = self._shelf.read(name, *self._rows)
        return TEXTS[name][values] if name in TEXTS else values


SECOND = "coalesce(floor(intended_s), 'inf'::DOUBLE)"
SECONDS = f"""
    SELECT segment, {SECOND} AS second, count(*) AS rows FROM {{}} WHERE segment IS NOT NULL
    GROUP BY ALL ORDER BY ALL
"""
COLUMNS = """
    SELECT intended_s, sent_s, done_s, rank::BIGINT AS rank, status::BIGINT AS status,
        version::BIGINT AS version, age_ms,
        coalesce(list_position($outcome, outcome) - 1, 0)::TINYINT AS outcome,
        coalesce(list_position($served_from, served_from) - 1, 0)::TINYINT AS served_from
"""
BATCH = f"""
    {COLUMNS} FROM {{}} WHERE segment BETWEEN $segment AND $last_segment
        AND (segment > $segment OR {SECOND} >= $second)
        AND (segment < $last_segment OR {SECOND} <= $last_second)
    ORDER BY segment, intended_s
"""


def shelve_requests(ask: Ask, directory: Path) -> Callable[[int], StoredRequests]:
    """Read all requests; what gives those of a segment, in order of intended time.

    They come in batches of whole seconds, so that no more of them than that are in memory at once.
    """
    shelf = StoredColumns(directory)
    lists = {name: texts.tolist() for name, texts in TEXTS.items()}
    shelf.add(ask(f"{COLUMNS} FROM {{}} LIMIT 0", **lists))
    seconds = ask(SECONDS)
    for first, last in _batches(seconds["rows"].tolist()):
        edges = {
            f"{end}{name}": seconds[name][place].item()
            for end, place in (("", first), ("last_", last))
            for name in ("segment", "second")
        }
        shelf.add(ask(BATCH, **edges, **lists))
    ends = np.cumsum([0, *seconds["rows"]])

    def of(segment: int) -> StoredRequests:
        first, last = ends[np.searchsorted(seconds["segment"], [segment, segment + 1])]
        return StoredRequests.on(shelf, (int(first), int(last)))

    return of


def _batches(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last place of neighbours that have about as many rows as a batch should have."""
    first, count = 0, 0
    for place, more in enumerate(rows):
        if count and count + more > BATCH_ROWS:
            yield first, place - 1
            first, count = place, 0
        count += more
    if count:
        yield first, len(rows) - 1
