"""Write docs/vocabulary.md: `python -m tests.support.vocabulary_page > docs/vocabulary.md`."""

from __future__ import annotations

import inspect
import sys
from dataclasses import fields

from chaos import measures
from chaos.cli.check_commands import KINDS, vocabulary
from chaos.measures.selections import When, Which
from chaos.model import series
from chaos.model.traffic import Retries, Step, Traffic, Visit

INTRODUCTION = """\
# Vocabulary

What an experiment can be made of: measures, acts and claims. `linkstorm list --measures --acts
--claims` prints the same. This page is written by `python -m tests.support.vocabulary_page >
docs/vocabulary.md`; a test keeps it up to date.
"""
ABOUT = {
    "measures": """\
A measure is a column of the table: a figure, *when* and of *which* requests. An experiment has
`from chaos import measures as m` and takes `m.failed(m.during)`, without the module's name.

- When a request was due: {whens}.
  Seconds after the heal: `since_heal(4, 6)`.
  `during` and `after_heal` go by the acts that end before their segment, or by all if none does.
- Which requests: {whichs}, or by operation: `doing("stats")`.
- Sampled series, for `peak`, `per_second` and the report's strips: {series}.
  `web-1.look_ups` is one process, `web.look_ups` the sum of all, `look_ups` that of all parts.
""",
    "acts": """\
An act is done to the stack at a second of each segment: `At(2.0, Pause("redis"), until_s=5.0)`.
Without `until_s` it lasts to the segment's last answer.
""",
    "claims": """\
A claim is what the figures must show. They are judged PASS, FAIL or INVALID; the worst wins.
""",
}

TRAFFIC = """
## Traffic

`from chaos.model.traffic import Traffic, Visit, Step, Retries`. Operations are follow, create,
edit, delete and stats; steps and visits are tuples. [Traffic](traffic.md) explains them.

"""


def page() -> str:
    """The whole page."""
    names = {"whens": _exported(When), "whichs": _exported(Which)}
    names["series"] = ", ".join(f"`{name}`" for name in series.names())
    parts = [INTRODUCTION]
    for kind in KINDS:
        entries = [f"- `{e.name}{e.signature}`: {e.about}\n" for e in vocabulary(kind)]
        about = ABOUT[kind].format(**names)
        parts.append(f"\n## {kind.capitalize()}\n\n{about}\n{''.join(entries)}")
    return "".join([*parts, TRAFFIC, *map(_noun, (Traffic, Visit, Step, Retries))])


def _noun(kind: type) -> str:
    """`Step(operation, after_s=0.0)`: the first paragraph of its docstring."""
    about = (inspect.getdoc(kind) or "").partition("\n\n")[0]
    own = [
        f"{f.name}={f.default!r}" if isinstance(f.default, int | float | str | None) else f.name
        for f in fields(kind)
    ]
    return f"- `{kind.__name__}({', '.join(own)})`: {' '.join(about.split())}\n"


def _exported(kind: type) -> str:
    """What `chaos.measures` exports of a kind."""
    found = {name: getattr(measures, name) for name in measures.__all__}
    return ", ".join(f"`{name}`" for name, thing in found.items() if isinstance(thing, kind))


if __name__ == "__main__":
    sys.stdout.write(page())
