"""Rooms stand on floors: no room imports, by whatever way, one that imports it."""

from __future__ import annotations

from tests.support.rooms import arrows, drawn, floors, room_of


def test_no_room_is_on_a_circle() -> None:
    of = arrows()
    assert floors(of).keys() == of.keys(), drawn(of)


def test_a_circle_has_no_floor() -> None:
    assert floors({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == {"d": 0}


def test_a_room_is_a_folder_and_a_module_beside_rooms_is_itself() -> None:
    assert room_of("chaos.runtimes.embedded.ports.is_free") == "chaos.runtimes"
    assert room_of("stack.shortener.redirect.fills.base") == "stack.shortener.redirect"
    assert room_of("stack.shortener.settings.WebSettings") == "stack.shortener.settings"
    assert room_of("reports.table") == "reports"
