"""Bodies of the control API, validated by pydantic, and the refusal of a request."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Annotated, TypeVar

from prometheus_client.parser import text_string_to_metric_families
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

NAME_BYTES = 255  # of a file, at most


class RequestRefused(Exception):
    """A request that is not carried out; the message says why, for a person."""

    def __init__(self, status: HTTPStatus, why: str, **more: object) -> None:
        super().__init__(why)
        self.status = status
        self.more = more


def is_run_name(run: str) -> bool:
    """True if a run directory could have this name."""
    short = 0 < len(run.encode()) <= NAME_BYTES
    return short and run not in (".", "..") and not {"/", "\0"} & set(run)


def _directory_name(run: str) -> str:
    if not is_run_name(run):
        raise ValueError("must be the name of a directory")
    return run


def _exposition(text: str) -> str:
    try:
        list(text_string_to_metric_families(text))
    except ValueError as wrong:
        raise ValueError(f"is not in Prometheus's text format: {wrong}") from wrong
    return text


Name = Annotated[str, Field(min_length=1)]


class Message(BaseModel):
    """A JSON object; members it does not list are ignored."""

    model_config = ConfigDict(strict=True, frozen=True)


class NoBody(Message):
    """Nothing that matters."""


class FaultOrder(Message):
    """A fault to inject; `chaos.acts.faults` validates the rest."""

    kind: Name
    target: Name
    latency_ms: float | None = None


class RunOrder(Message):
    """A run to start."""

    experiment: Name
    full: bool = False
    arms: list[str] = []


class Claim(Message):
    """A run that uses the lab, or has used it."""

    run: Annotated[Name, AfterValidator(_directory_name)]
    first: bool = False  # not renewed: two commands of one name are two


class RunFault(Message):
    """A fault of a run that is in force."""

    name: str
    since: str


class RunStatus(Message):
    """The status of a run: its current step, its faults, its load generator's metrics."""

    run: str
    experiment: str
    what: str
    faults: list[RunFault]
    metrics: Annotated[str, AfterValidator(_exposition)]


M = TypeVar("M", bound=Message)


def parsed(body: bytes, kind: type[M]) -> M:
    """A message from a request's body.

    Raises:
        RequestRefused: it is not JSON that could be sent on, or not such a message.
    """
    try:
        found = json.loads(body or b"{}")
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "the body is not JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise RequestRefused(HTTPStatus.BAD_REQUEST, f"a JSON object is needed, not {found!r}")
    try:
        return kind.model_validate(found)
    except ValidationError as invalid:
        why = "; ".join(map(_refusal, invalid.errors()))
        raise RequestRefused(HTTPStatus.BAD_REQUEST, why) from invalid


def _refusal(error: ErrorDetails) -> str:
    where = ".".join(map(str, error["loc"]))
    if error["type"] == "missing":
        return f"{where}: is missing"
    return f"{where}: {error['msg']}, not {error['input']!r}"
