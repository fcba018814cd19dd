"""The JSON of a run directory that a verdict is made from, as pydantic models.

Types are strict and numbers finite; what else is in a file is ignored. The dataclasses of
`chaos.model` are validated by the same rules.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from chaos.model.evidence import ActEvidence, Generator, InForce, Mode, StateReading
from chaos.record.sums import Sum

LARGEST = 2**53  # beyond it, not every reader of JSON keeps the same number


def _has_too_large(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_too_large, value.values()))
    if isinstance(value, list):
        return any(map(_has_too_large, value))
    return isinstance(value, int | float) and abs(value) > LARGEST


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True)


class _File(_Record):
    @model_validator(mode="before")
    @classmethod
    def _refuse_large_numbers(cls, data: Any) -> Any:
        if _has_too_large(data):
            raise ValueError(f"a number is larger than {LARGEST}")
        return data


class PlannedAct(_Record):
    """An act of an arm's timeline."""

    act: str
    second: float
    until_s: float | None


class ArmPlan(_Record):
    """What differs between arms."""

    settings: dict[str, str]
    traffic: dict[str, Any]
    timeline: list[PlannedAct]


class Plan(_File):
    """`plan.json`."""

    experiment: str
    question: str
    runtime: str
    seed: int
    mode: Mode
    arms: dict[str, ArmPlan]
    command: str
    began: str
    began_s: float
    commit: str | None
    machine: dict[str, Any]
    linkstorm: str


MAY_BE_NAN = {f.name for f in fields(Generator) if f.default is math.nan}


def _without_nan(generator: Any) -> Any:
    """Leave out NaN where it is the default."""
    if not isinstance(generator, dict):
        return generator
    return {n: v for n, v in generator.items() if n not in MAY_BE_NAN or v == v}


class SegmentEnd(_Record):
    """The event at the end of a segment."""

    segment: int
    arm: str
    round: int
    settings: dict[str, str]
    web_processes: int
    from_s: float
    to_s: float
    started_s: float
    ended_s: float
    settled_s: float | None
    generator: Annotated[Generator, BeforeValidator(_without_nan)]
    counted: dict[str, float | None]
    acts: list[ActEvidence]
    in_force: list[InForce]
    states: list[StateReading]


class LinksEvent(_Record):
    """The shared links of a segment by rank, and the redirects that warmed the cache."""

    segment: int
    codes: list[str]
    follows: int
    targets: list[str]

    @model_validator(mode="after")
    def _have_a_target_each(self) -> Self:
        if len(self.codes) != len(self.targets):
            raise ValueError(f"{len(self.codes)} links have {len(self.targets)} targets")
        return self


class LookEvent(_Record):
    """A look at the record between rounds, and the arms that got further rounds."""

    rounds: int
    arms: dict[str, str]


class WrittenEvent(_Record):
    """The sums of tables as they were written."""

    sums: dict[str, Sum]


class HeldEvent(_Record):
    """The rows that the primary itself counted before they were read back."""

    rows: dict[str, int]


class TroubleEvent(_Record):
    """The reason why a run stopped early."""

    why: str


class Events(_File):
    """The events of `events.jsonl` that count for a verdict, by kind."""

    segment: list[SegmentEnd] = []
    links: list[LinksEvent] = []
    look: list[LookEvent] = []
    trouble: list[TroubleEvent] = []
    written: list[WrittenEvent] = []
    held: list[HeldEvent] = []


def first_error(error: ValidationError) -> str:
    """The first error, with the name of its field."""
    first = error.errors(include_url=False)[0]
    return ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
