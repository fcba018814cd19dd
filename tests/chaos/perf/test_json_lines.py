"""Lines are added and read back whatever a killed run left."""

from __future__ import annotations

from pathlib import Path

from chaos.perf.json_lines import append_line, whole_lines


def test_lines_are_read_back_from_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lines.jsonl"
    assert [*whole_lines(path)] == []
    for number in range(3):
        append_line(path, {"number": number})
    assert [line["number"] for line in whole_lines(path)] == [0, 1, 2]


def test_a_line_that_was_cut_off_spoils_neither_the_one_before_nor_the_one_after(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"number": 0}\n[1]\n\n{"number": "\xc3')
    append_line(path, {"number": 2})
    assert [line["number"] for line in whole_lines(path)] == [0, 2]
