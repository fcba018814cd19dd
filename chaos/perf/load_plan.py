"""The plan of a launch's load, drawn before it starts: when, to which arm, and which request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from chaos.model.evidence import Floats, Ints
from chaos.perf.service_file import Request

NUMBER = "{n}"
FEW_NUMBERS = 1000  # of a kind of request: each of them may be in a cache


@dataclass(frozen=True)
class LoadPlan:
    """One entry a request: seconds since the start, arm, kind of request, and its number."""

    due_s: Floats
    arms: Ints
    kinds: Ints
    numbers: Ints


def coin_flips(
    requests: Sequence[Request], arms: int, rate_per_s: float, seconds: float, seed: int
) -> LoadPlan:
    """A Poisson process whose every arrival goes to an arm by the throw of a fair die.

    So whatever the machine does at a moment hits all arms alike. Of each kind all arms get equally
    many, give or take one: an arm with more of a dear kind would look slower than it is.
    """
    times, dice, mix, numbers = (
        np.random.default_rng(each) for each in np.random.SeedSequence(seed).spawn(4)
    )
    due_s = np.sort(times.random(times.poisson(rate_per_s * seconds))) * seconds
    shares = np.array([request.share for request in requests])
    kinds = mix.choice(len(requests), len(due_s), p=shares / shares.sum())
    below = np.array([request.numbers for request in requests])[kinds]
    return LoadPlan(
        due_s,
        _fair(kinds, arms, dice),
        kinds,
        (numbers.random(len(due_s)) * below).astype(np.int64),
    )


def warm_up(
    requests: Sequence[Request], arms: int, rate_per_s: float, seconds: float, seed: int
) -> LoadPlan:
    """As much of the same load, in which each arm is asked for all of few numbers.

    Numbers drawn at random would leave out some, whose first request would count as any other.
    """
    plan = coin_flips(requests, arms, rate_per_s, seconds, seed)
    draw, numbers = np.random.default_rng(seed), plan.numbers.copy()
    for kind, request in enumerate(requests):
        for arm in range(arms) if request.numbers <= FEW_NUMBERS else ():
            own = np.flatnonzero((plan.kinds == kind) & (plan.arms == arm))
            numbers[own] = np.resize(draw.permutation(request.numbers), len(own))
    return replace(plan, numbers=numbers)


def _fair(kinds: Ints, arms: int, dice: np.random.Generator) -> Ints:
    """An arm for each request: all ways to share each kind out equally are equally likely."""
    placed = np.empty(len(kinds), dtype=np.int64)
    for kind in np.unique(kinds).tolist():
        own = np.flatnonzero(kinds == kind)
        placed[own] = (dice.permutation(len(own)) + dice.integers(arms)) % arms
    return placed


def all_at_once(requests: Sequence[Request], arm: int, count: int, seed: int) -> LoadPlan:
    """Requests to one arm that are all due at once: it is asked as fast as it answers."""
    drawn = coin_flips(requests, 1, count, 1.0, seed)
    return LoadPlan(np.zeros_like(drawn.due_s), drawn.arms + arm, drawn.kinds, drawn.numbers)


def renderer(request: Request, host: str) -> Callable[[int], bytes]:
    """A function from a number to the bytes of the request."""
    names = {name.lower() for name in request.headers}
    headers = {**({} if "host" in names else {"Host": host}), **request.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    has_body = bool(request.body) or request.method != "GET"

    def rendered(number: int) -> bytes:
        path = request.path.replace(NUMBER, str(number))
        body = request.body.replace(NUMBER, str(number)).encode()
        length = f"Content-Length: {len(body)}\r\n" if has_body else ""
        return f"{request.method} {path} HTTP/1.1\r\n{lines}{length}\r\n".encode() + body

    return rendered
