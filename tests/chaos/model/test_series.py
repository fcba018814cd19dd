"""Names of sampled series."""

from __future__ import annotations

import pytest

from chaos.model.series import exists, names


@pytest.mark.parametrize("name", [*names(), "clicks_waiting", "web-1.look_ups"])
def test_a_series_is_named_by_kind_of_part_by_process_or_by_what_is_counted(name: str) -> None:
    assert exists(name)


@pytest.mark.parametrize(
    "name", ["", "web", "web.", ".look_ups", "waiting", "web-1", "web.commands", "redis-1.look_ups"]
)
def test_nothing_goes_by_any_other_name(name: str) -> None:
    assert not exists(name)
