"""The service file, `perf.toml`: how to start a service, what to ask it, and what to gate."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from chaos.perf.trouble import WrongInput

FIGURES = ("p50", "p90", "p99", "cpu", "capacity")
PLACEHOLDERS = {
    "port": "the arm's port of this launch",
    "worktree": "the folder of the service file, in the arm's own checkout",
    "here": "the folder of the service file itself",
    "environment": "the folder that the build commands fill",
    "python": "the Python that runs the gate",
    "postgres_url": "the arm's own database",
    "redis_url": "the arm's own Redis",
}
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")

Command = Annotated[tuple[str, ...], Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,40}$")]
Path_ = Annotated[str, Field(pattern=r"^/[!-~]*$")]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]
HeaderValue = Annotated[str, Field(pattern=r"^[ -~]*$")]
PerCent = Annotated[float, Field(ge=0, le=1000)]
Seconds = Annotated[float, Field(gt=0, le=600)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Build(_Part):
    """Commands that make what an arm runs in.

    With `lock`, files that decide the outcome, they fill `{environment}` once for each content of
    those. Without, they run in each worktree.
    """

    commands: Annotated[tuple[Command, ...], Field(min_length=1)]
    lock: tuple[str, ...] = ()


class Databases(_Part):
    """Servers that the gate starts: each arm has a database, and a Redis, of its own."""

    postgres: bool = False
    redis: bool = False


class Load(_Part):
    """The load: how many requests a second all arms get together, and for how long a launch.

    Without a rate it is `share_of_knee` of what the base can do, at most `rate_max_per_s`, and less
    if all arms then use more than half of their core.
    """

    rate_per_s: Annotated[float, Field(gt=0, le=20_000)] | None = None
    share_of_knee: Annotated[float, Field(gt=0, lt=1)] = 0.35
    rate_max_per_s: Annotated[float, Field(gt=0, le=20_000)] = 3000.0
    warm_up_s: Seconds = 2.0
    launch_s: Seconds = 10.0
    block_s: Annotated[float, Field(gt=0, le=10)] = 0.5  # two blocks an arm, alone, for capacity
    connections: Annotated[int, Field(ge=1, le=256)] = 32  # at most, to each arm


class Request(_Part):
    """A kind of request; `{n}` in path and body is a number below `numbers`, drawn anew each time.

    Without `status`, every answer below 400 is as expected.
    """

    name: Name
    share: Annotated[float, Field(gt=0, le=1_000_000)] = 1.0
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    path: Path_
    headers: Mapping[HeaderName, HeaderValue] = {}
    body: str = ""
    numbers: Annotated[int, Field(ge=1, le=10_000_000)] = 1
    status: Annotated[int, Field(ge=200, le=599)] | None = None

    def expects(self, status: int) -> bool:
        """True for the status of an answer as it should be."""
        return status == self.status if self.status else 200 <= status < 400


_NAMES = {"cpu": "CPU a request", "capacity": "time a request at capacity"}


class Metric(_Part):
    """A figure that is gated, of one kind of request or of all, with its margins in per cent.

    FAIL is a change that is surely above `fail_above`, PASS one that is surely below `pass_below`.
    `cpu` is processor time for each request, of all kinds. `capacity` is the time that each takes
    of an arm that is alone and asked as fast as it answers: more of it is a lower capacity.
    """

    figure: Literal["p50", "p90", "p99", "cpu", "capacity"]
    request: Name | None = None
    fail_above: PerCent = 1.0
    pass_below: PerCent

    @property
    def name(self) -> str:
        """Its name in tables: `p99`, `p50 of create`, `CPU a request`."""
        figure = _NAMES.get(self.figure, self.figure)
        return f"{figure} of {self.request}" if self.request else figure

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.pass_below <= self.fail_above:
            raise ValueError("pass_below must be above fail_above")
        if self.figure in _NAMES and self.request:
            raise ValueError(f"{self.figure} is of all requests: it cannot be told apart by kind")
        return self


METRICS = (
    Metric(figure="p50", pass_below=3),
    Metric(figure="p90", pass_below=5),
    Metric(figure="p99", pass_below=10),
    Metric(figure="cpu", pass_below=3),
)


class CounterSource(_Part):
    """Counters that a command prints, or a page of the service: a line `name value` for each.

    Lines that are not so are passed over, comments (`#`) included.
    """

    command: Command | None = None
    path: Path_ | None = None
    only: tuple[str, ...] = ()  # their names, if not all; a prefix may end in *

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.command is None) == (self.path is None):
            raise ValueError("one of command and path is needed")
        return self

    def __str__(self) -> str:
        """What is run or asked for."""
        return self.path or f"`{' '.join(self.command or ())}`"


class Counting(_Part):
    """The requests of each kind that are counted in a round, one after the other."""

    requests: Annotated[int, Field(ge=1, le=10_000)] = 40
    pause_ms: Annotated[float, Field(ge=0, le=1000)] = 15.0  # so that none shares a batch
    tolerance: Annotated[float, Field(ge=0, le=1000)] = 0.02  # of a count for each request


class Service(_Part):
    """A service, as its file describes it."""

    name: Name
    command: Command
    health: Path_
    start_s: Seconds = 60.0  # it has so long to become healthy
    variables: Mapping[Name, str] = {}
    check: Command | None = None  # run in each worktree first: can this revision be measured?
    seed: Command | None = None  # run for each arm of a launch, once it is healthy
    seed_once: bool = False  # of a seed that writes to Postgres alone: launches begin with a copy
    build: Build | None = None
    databases: Databases = Databases()
    load: Load = Load()
    requests: Annotated[tuple[Request, ...], Field(min_length=1)]
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1)] = METRICS
    counters: tuple[CounterSource, ...] = ()
    counting: Counting = Counting()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        kinds = [request.name for request in self.requests]
        metrics = [metric.name for metric in self.metrics]
        for what, names in (("request", kinds), ("metric", metrics)):
            if twice := [name for name, count in Counter(names).items() if count > 1]:
                raise ValueError(f"{what} {twice[0]} is there twice")
        for metric in self.metrics:
            if metric.request and metric.request not in kinds:
                raise ValueError(f"metric {metric.name}: there is no request {metric.request}")
        if self.seed_once and not (self.seed and self.databases.postgres):
            raise ValueError("seed_once needs a seed, and databases.postgres that it writes to")
        for text in self._before_a_launch():
            if "{port}" in text:
                raise ValueError(f"{text!r}: there is no port yet when checks and builds are run")
        for text in self._texts():
            self._check_placeholders(text)
        return self

    def _before_a_launch(self) -> Iterator[str]:
        for command in (self.check or (), *(self.build.commands if self.build else ())):
            yield from command

    def _texts(self) -> Iterator[str]:
        yield from self._before_a_launch()
        counters = [source.command or () for source in self.counters]
        for command in (self.command, self.seed or (), *counters):
            yield from command
        yield from self.variables.values()

    def _check_placeholders(self, text: str) -> None:
        for name in PLACEHOLDER.findall(text):
            if name not in PLACEHOLDERS:
                known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
                raise ValueError(f"{text!r}: there is no {{{name}}}; there are {known}")
            given = {
                "postgres_url": self.databases.postgres,
                "redis_url": self.databases.redis,
                "environment": self.build is not None,
            }
            if not given.get(name, True):
                wanted = "a [build]" if name == "environment" else "[databases]"
                raise ValueError(f"{text!r} needs {wanted} that makes it")


def read_service(path: Path) -> Service:
    """The service of a file.

    Raises:
        WrongInput: it cannot be read, or is no service file; the message names every mistake.
    """
    try:
        return Service.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise WrongInput(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongInput(f"{path} is not TOML: {error}") from None
    except ValidationError as error:
        mistakes = [
            ": ".join(filter(None, [".".join(map(str, one["loc"])), one["msg"]]))
            for one in error.errors()
        ]
        raise WrongInput("\n".join([f"{path} is no service file:", *mistakes])) from None


def filled(texts: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """The words of a command, with the values of its placeholders."""
    return [PLACEHOLDER.sub(lambda found: values[found[1]], text) for text in texts]
