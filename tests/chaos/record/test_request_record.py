"""The values of `X-Cache` that a record may hold are those that the stack sends."""

from __future__ import annotations

from typing import get_args

from chaos.model.request_record import SERVED_FROM
from stack.shortener.redirect.refill import Served


def test_the_record_has_every_value_of_x_cache_and_no_other() -> None:
    assert set(SERVED_FROM) == set(get_args(Served))
