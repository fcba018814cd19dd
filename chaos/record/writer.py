"""Writer of the run directory; `chaos.record.reader` reads it.

Requests, look-ups, samples and the read-back are Parquet files, for DuckDB or pandas;
`plan.json`, `events.jsonl` and `verdict.json` are text.
"""

from __future__ import annotations

import csv
import json
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from chaos.model.evidence import ReadBack
from chaos.model.lab import Clock
from chaos.model.request_record import REQUEST_COLUMNS
from chaos.record.files import Files
from chaos.record.gateway_log import GATEWAY_COLUMNS, logged_answers
from chaos.record.sums import Sum, Summing, sum_of_file

Listener = Callable[[Mapping[str, Any]], None]


class RecordWriter:
    """An open run directory: events and samples go to disk as they happen."""

    def __init__(self, path: Path, plan: Mapping[str, Any], clock: Clock) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.plan = plan
        self._clock = clock
        self._listeners: list[Listener] = []
        self._one_at_a_time = threading.Lock()
        self.logs = path / "logs"
        self.logs.mkdir()
        _write_json(path / "plan.json", plan)
        self._events = (path / "events.jsonl").open("w", buffering=1, encoding="utf-8")
        self._samples_file = (path / "samples.csv").open("w", newline="", encoding="utf-8")
        self._samples = csv.writer(self._samples_file)
        self._samples.writerow(("t_s", "name", "value"))
        self._sampled = Summing(SCHEMAS["samples"])
        self._forks_file = (path / "forks.csv").open("w", newline="", encoding="utf-8")
        self._forks = csv.writer(self._forks_file)
        self._forks.writerow(SCHEMAS["forks"])
        self._forked = Summing(SCHEMAS["forks"])

    def event(self, kind: str, **data: object) -> None:
        """Append one event, with the time of the run's clock, and pass it to the listeners;
        thread-safe."""
        with self._one_at_a_time:
            event = {"t_s": self._clock.now_s(), "kind": kind, **data}
            self._events.write(json.dumps(event) + "\n")
            for listener in self._listeners:
                try:
                    listener(event)
                except Exception as error:  # a run does not depend on its listeners
                    self.note(f"a listener failed on {kind}: {error!r}")

    @contextmanager
    def subscribed(self, listener: Listener) -> Iterator[None]:
        """Call a listener with each event as it happens."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def note(self, text: str) -> None:
        """Append a line to the lab's log, which no verdict depends on; thread-safe."""
        with (self.logs / "lab.log").open("a", encoding="utf-8") as log:
            log.write(f"{self._clock.now_s():.3f} {text}\n")

    def sample(self, t_s: float, values: Mapping[str, float]) -> None:
        """Append one reading of several counters taken at the same moment; thread-safe."""
        rows = [(f"{t_s:.6f}", name, value) for name, value in values.items()]
        with self._one_at_a_time:
            self._samples.writerows(self._sampled.each(rows))

    def fork(self, segment: int, rows: Iterable[tuple[str, str, int]]) -> None:
        """Append what a server held that lost its role: kind (clicks, links), id and version."""
        named = ((segment, *row) for row in rows)
        self._forks.writerows(self._forked.each(named))
        self._forks_file.flush()

    def read_back(self, state: ReadBack) -> None:
        """Write the final state of the primary."""
        sums = {
            "clicks": _write_rows(self.path, "clicks", state.clicks),
            "totals": _write_rows(self.path, "totals", state.totals.items()),
            "links": _write_rows(self.path, "links", state.links),
        }
        self._written(sums)
        self.event("held", rows=dict(state.rows))
        self.event("read-back")

    @contextmanager
    def snapshot(self) -> Iterator[Path]:
        """A record of the run so far, for `chaos.record.reader`, until the context ends.

        Without what is read back from the primary, which comes last. Whoever writes a log or a
        shard of requests has flushed it at the end of each segment. Signals are delivered
        afterwards.

        Raises:
            OSError: it cannot be written.
        """
        with (
            TemporaryDirectory(dir=self.path, prefix=".look-") as folder,
            _signals_deferred(),
        ):
            copy = Path(folder)
            with self._one_at_a_time:
                self._samples_file.flush()
                self._forks_file.flush()
                for name in ("plan.json", "events.jsonl", "samples.csv", "forks.csv"):
                    shutil.copyfile(self.path / name, copy / name)
            for shard in _shards(self.path, "requests"):
                (copy / shard.name).symlink_to(shard.absolute())
            _write_table(copy, "look_ups", _logged_look_ups(self.logs))
            _write_table(copy, "gateway", logged_answers(self.logs))
            with duckdb.connect() as db:
                _to_parquet(copy, db)
            yield copy

    def _written(self, sums: Mapping[str, Sum]) -> None:
        self.event("written", sums={name: asdict(own) for name, own in sums.items()})

    def close(self) -> None:
        """Turn the CSV files into Parquet; signals are delivered afterwards.

        Raises:
            OSError: it cannot be written.
        """
        with _signals_deferred(), self._events:
            self._samples_file.close()
            self._forks_file.close()
            look_ups = _write_rows(self.path, "look_ups", _logged_look_ups(self.logs))
            gateway = _write_rows(self.path, "gateway", logged_answers(self.logs))
            own = {"look_ups": look_ups, "gateway": gateway, "samples": self._sampled.total}
            own["forks"] = self._forked.total
            with duckdb.connect() as db:
                _to_parquet(self.path, db)
                if (requests := self.path / "requests.parquet").exists():
                    own["requests"] = sum_of_file(requests, db)
            self._written(own)


def _write_json(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def _write_rows(path: Path, name: str, rows: Iterable[Sequence[object]]) -> Sum:
    """Write a table as CSV; return the sum of the rows as they were given."""
    summing = Summing(SCHEMAS[name])
    _write_table(path, name, summing.each(rows))
    return summing.total


def _write_table(path: Path, name: str, rows: Iterable[Sequence[object]]) -> None:
    with (path / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(SCHEMAS[name])
        writer.writerows(rows)


def _logged_look_ups(logs: Path) -> Iterator[list[object]]:
    """Look-ups in the logs of the web processes: the lines that tell when a cache was read.

    A line cut short by the death of its process is left out, which the counters show.
    """
    for log in sorted(logs.glob("web-*.log")):
        with log.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if '"read_s"' in line and line.rstrip().endswith("}"):
                    query = json.loads(line) | {"part": log.stem}
                    yield [query[name] for name in SCHEMAS["look_ups"]]


SCHEMAS: Mapping[str, Mapping[str, str]] = {
    "requests": REQUEST_COLUMNS,
    "samples": {"t_s": "DOUBLE", "name": "VARCHAR", "value": "DOUBLE"},
    "look_ups": {
        "key": "VARCHAR",
        "db": "VARCHAR",
        "read_s": "DOUBLE",
        "asked_s": "DOUBLE",
        "answered_s": "DOUBLE",
        "stored_s": "DOUBLE",
        "error": "VARCHAR",
        "part": "VARCHAR",
    },
    "clicks": {"click_id": "VARCHAR", "key": "VARCHAR"},
    "totals": {"key": "VARCHAR", "total": "BIGINT"},
    "forks": {"segment": "BIGINT", "kind": "VARCHAR", "id": "VARCHAR", "version": "BIGINT"},
    "gateway": GATEWAY_COLUMNS,
    "links": {"key": "VARCHAR", "version": "BIGINT", "target": "VARCHAR", "deleted": "BOOLEAN"},
}


def _to_parquet(path: Path, db: duckdb.DuckDBPyConnection) -> None:
    """Merge the CSV files of each kind, one or several shards, into one Parquet file.

    A line cut short by the death of its writer is left out, which the count of requests shows.
    """
    for name, columns in SCHEMAS.items():
        shards = _shards(path, name)
        if not shards:
            continue
        unfinished = path / f"{name}.parquet.part"
        try:
            _copy(db, shards, columns, unfinished)
        except duckdb.Error as error:
            unfinished.unlink()
            raise OSError(f"{path / name}.parquet: {error}") from error
        unfinished.rename(path / f"{name}.parquet")
        for shard in shards:
            shard.unlink()


def _shards(path: Path, name: str) -> list[Path]:
    return sorted(path.glob(f"{name}.csv")) + sorted(path.glob(f"{name}-*.csv"))


# Of `csv.writer`; DuckDB would guess it from each file, which takes longer than reading it.
_DIALECT = "auto_detect=false, header=true, delim=',', quote='\"', escape='\"'"


def _copy(
    db: duckdb.DuckDBPyConnection, shards: Sequence[Path], columns: Mapping[str, str], into: Path
) -> None:
    with Files() as files:
        lines = (
            f"read_csv({list(map(files.named, shards))!r}, columns={dict(columns)!r},"
            f" {_DIALECT}, ignore_errors=true)"
        )
        target = files.named(into, "wb")
        db.execute(f"COPY (FROM {lines}) TO '{target}' (FORMAT parquet, USE_TMP_FILE false)")


@contextmanager
def _signals_deferred() -> Iterator[None]:
    """Hold back terminating signals: DuckDB turns them into errors, or loses them."""
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for signal_number in received:
            signal.raise_signal(signal_number)


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write verdict.json atomically."""
    unfinished = path / "verdict.json.part"
    try:
        _write_json(unfinished, result)
        unfinished.replace(path / "verdict.json")
    finally:
        unfinished.unlink(missing_ok=True)
