"""docs/result.schema.json says what the result JSON is, and stays honest about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from tests.support.results import result_with

SCHEMA = json.loads(
    (Path(__file__).parents[3] / "docs" / "result.schema.json").read_text(encoding="utf-8")
)
VALIDATOR = Draft202012Validator(SCHEMA)


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    ("flaw", "verdict"),
    [
        (None, "PASS"),
        ("click lost", "FAIL"),
        ("requests fail", None),
        ("one unsent", "INVALID"),
        ("probe fails", "INVALID"),
        ("part dies", "INVALID"),
        ("interrupted", "INVALID"),
    ],
)
def test_every_kind_of_result_is_as_the_schema_says(flaw: str | None, verdict: str | None) -> None:
    result = result_with(*([flaw] if flaw else []))

    VALIDATOR.validate(result)
    assert verdict in (None, result["verdict"])


def test_a_field_that_the_schema_does_not_know_is_an_error() -> None:
    with pytest.raises(ValidationError):
        VALIDATOR.validate(result_with() | {"surprise": 1})


def test_every_field_is_described() -> None:
    assert list(_undescribed(SCHEMA, "result")) == []


def _undescribed(schema: dict[str, Any], path: str) -> list[str]:
    missing = []
    for name, field in schema.get("properties", {}).items():
        if "description" not in field and "$ref" not in field and "enum" not in field:
            missing.append(f"{path}.{name}")
        missing += _undescribed(field, f"{path}.{name}")
    for name, field in schema.get("$defs", {}).items():
        missing += _undescribed(field, name)
    return missing
