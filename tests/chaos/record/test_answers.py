"""What answers said is compared with what writers asked for, and with nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from chaos.engine.run import HostClock
from chaos.model.evidence import Answers, Generator, ReadBack
from chaos.model.request_record import REQUEST_COLUMNS
from chaos.record.answers import STATUSES
from chaos.record.gateway_log import logged_answers
from chaos.record.reader import DamagedRecord, read_evidence
from chaos.record.writer import RecordWriter
from tests.chaos.record.test_ledgers import PLAN

Held = tuple[str, int, str, bool]


def record(
    directory: Path,
    rows: Sequence[dict[str, Any]],
    held: Sequence[Held],
    *targets: str,
    log: str = "",
) -> Path:
    """A run with one segment, whose shared links `a` and `b` were made with these targets."""
    run = directory / "run"
    writer = RecordWriter(run, PLAN, HostClock())
    writer.event("links", segment=1, codes=["a", "b"], follows=2, targets=targets)
    end: dict[str, Any] = {"segment": 1, "arm": "lock", "round": 0, "settings": {}}
    end |= {"web_processes": 2, "settled_s": None, "counted": {}, "acts": []}
    end |= {"in_force": [], "states": []}
    end |= {"from_s": 0.0, "to_s": 9.0, "started_s": 0.0, "ended_s": 9.0}
    figures = json.loads(json.dumps(asdict(Generator(0, 0, 0, 0, 0.0, 0.0))))
    writer.event("segment", **end, generator=figures)
    lines = [",".join(REQUEST_COLUMNS), *(_line(place, row) for place, row in enumerate(rows))]
    (run / "requests-0.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (writer.logs / "nginx.log").write_text(log)
    writer.read_back(ReadBack([], held, {}, {}))
    writer.close()
    return run


def _line(place: int, row: dict[str, Any]) -> str:
    known = {"segment": 1, "op_id": f"o{place}", "session": f"s{place}", "attempt": 1}
    known |= {"last": True, "rank": 0, "intended_s": 1.0, "sent_s": 1.0, "done_s": 1.0}
    known |= {"outcome": "ok", "status": STATUSES[row["operation"]], "served_from": "hit"} | row
    return ",".join(str(known.get(name, "")) for name in REQUEST_COLUMNS)


def followed(key: str, target: str, version: int = 1, **more: Any) -> dict[str, Any]:
    return {"operation": "follow", "key": key, "target": target, "version": version} | more


def edited(key: str, target: str, version: int = 2, **more: Any) -> dict[str, Any]:
    return {"operation": "edit", "key": key, "target": target, "version": version} | more


UNKNOWN: dict[str, Any] = {"outcome": "unknown", "status": 0, "version": -1}
GATEWAYS: dict[str, Any] = {"outcome": "fail", "status": 504, "version": -1}
REFUSED: dict[str, Any] = {"outcome": "fail", "status": 422, "version": -1}
CREATED = {"operation": "create", "key": "own", "target": "O", "version": 1, "rank": 2}


@pytest.mark.parametrize(
    ("rows", "misled"),
    [
        ([followed("a", "A"), followed("b", "B")], 0),
        ([followed("a", "B")], 1),
        ([followed("a", "")], 1),
        ([edited("a", "A2"), followed("a", "A"), followed("a", "A2", 2)], 0),
        ([edited("a", "A2"), followed("a", "A", 2)], 1),
        ([edited("a", "A2"), followed("a", "A2")], 1),
        ([edited("b", "B2"), followed("a", "B2", 2)], 1),
        ([followed("a", "A2", 2)], 1),
        *(
            ([edited("a", "A2", **unsure), followed("a", "A2", 2)], 0)
            for unsure in (UNKNOWN, GATEWAYS)
        ),
        ([edited("a", "A2", **REFUSED), followed("a", "A2", 2)], 1),
        ([edited("b", "B2", **UNKNOWN), followed("a", "B2", 2)], 1),
        ([CREATED, followed("own", "O", rank=2)], 0),
        ([CREATED, followed("own", "A", rank=2)], 1),
        ([CREATED | UNKNOWN, followed("own", "O", rank=2)], 0),
        ([followed("a", "B", outcome="absent", status=404)], 0),
    ],
)
def test_a_redirect_leads_where_the_version_that_it_names_does(
    rows: list[dict[str, Any]], misled: int, tmp_path: Path
) -> None:
    answers = read_evidence(record(tmp_path, rows, [], "A", "B")).answers
    assert (answers.misled, answers.unwritten) == (misled, 0)
    assert answers.followed == sum(
        row["operation"] == "follow" and row.get("outcome", "ok") == "ok" for row in rows
    )
    assert len(answers.examples) == misled


def test_what_nobody_on_record_has_written_is_not_called_wrong(tmp_path: Path) -> None:
    rows = [followed("own", "O", rank=2)]
    assert read_evidence(record(tmp_path, rows, [], "A", "B")).answers == Answers(1, unwritten=1)


@pytest.mark.parametrize(
    ("held", "misheld"),
    [
        ([("a", 2, "A2", False), ("b", 1, "B", False)], 0),
        ([("a", 2, "A", False)], 1),
        ([("b", 1, "A", False)], 1),
        ([("b", 3, "?", True)], 0),
        ([("stranger", 1, "?", False)], 0),
    ],
)
def test_so_do_the_links_that_are_held_at_the_end(
    held: list[Held], misheld: int, tmp_path: Path
) -> None:
    answers = read_evidence(record(tmp_path, [edited("a", "A2")], held, "A", "B")).answers
    assert (answers.misheld, answers.misled) == (misheld, 0)
    assert answers.held == sum(key in "ab" and not gone for key, _, _, gone in held)


def test_each_good_answer_has_the_status_of_its_operation(tmp_path: Path) -> None:
    row = {"key": "a", "target": "A", "version": 1}
    good = [{"operation": operation} | row for operation in STATUSES]
    assert not read_evidence(record(tmp_path, good, [], "A", "B")).answers.odd_statuses
    odd = [followed("a", "A", status=301)]
    seen = read_evidence(record(tmp_path / "odd", [*good, *odd], [], "A", "B")).answers
    assert (seen.odd_statuses, seen.examples) == (1, ("follow of a got 301",))


def test_links_need_a_target_each(tmp_path: Path) -> None:
    with pytest.raises(DamagedRecord, match="2 links have 1 targets"):
        read_evidence(record(tmp_path, [], [], "A"))


# --- the gateway's log ---------------------------------------------------------------------------


def test_the_gateways_log_is_read_among_its_warnings(tmp_path: Path) -> None:
    log = tmp_path / "nginx.log"
    assert [*logged_answers(tmp_path)] == []
    log.write_text(
        "2026/11/29 [warn] 7#7: answered late\n"
        "answered 1795936206.388 0.010 502 GET /a 127.0.0.1:1, 127.0.0.1:2\n"
        "answered 1795936206.388 0.010\n"
        "answered 1795936206.400 0.000 404 GET /metrics -"
    )
    (row,) = logged_answers(tmp_path)
    assert row == [1, "1795936206.388", "0.010", "502", "GET", "a", "127.0.0.1:1, 127.0.0.1:2"]


LOGGED = [
    (1.0, 10, 404, "GET", "a"),
    (1.1, 11, 302, "GET", "a"),
    (1.2, 12, 302, "GET", "own"),
    (1.3, 13, 302, "GET", "a"),
    (1.4, 14, 404, "GET", "a"),
    (1.5, 15, 200, "PATCH", "a"),
    (1.6, 16, 302, "GET", "stranger"),
]


def test_the_request_that_made_a_link_ready_is_none_of_the_segment(tmp_path: Path) -> None:
    lines = [
        f"answered {t_s} 0.0{ms} {status} {how} /{key} w\n" for t_s, ms, status, how, key in LOGGED
    ]
    run = record(tmp_path, [CREATED], [], "A", "B", log="".join(lines))
    gateway = read_evidence(run).segments[0].gateway
    assert gateway.status.tolist() == [302, 302, 404]
    assert gateway.took_ms.round(6).tolist() == [12.0, 13.0, 14.0]
