"""Judge every mutant, and print what caught it: `python -m tests.support.mutants --markdown`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence

from tests.support.mutants.judging import Mutant, Outcome
from tests.support.mutants.outcomes import outcomes
from tests.support.mutants.registry import MUTANTS

HEAD = """# Mutants: records with a seeded error, and the check that catches it

A checker that passes everything looks like one that works. So each check, claim and fault probe
gets records with one seeded error each, and has to catch it: a mutant must turn PASS into FAIL or
INVALID, or the record is refused with the name of the damaged file. The records come from the fake
stack of the tests (`tests/support/fake_stack.py`: arithmetic in place of parts, the lab's own
files), and go through `linkstorm judge` as a user's do. *First* is the gravest reason in the
output; *also* counts further findings other than PASS.

`python -m tests.support.mutants --markdown > docs/mutants.md` writes this page; a test keeps it up
to date.
"""
WIDTH = 96


def main(words: list[str]) -> int:
    """Print what caught each mutant; exit code 1 if a mutant survived."""
    seen = outcomes()
    print(page(seen) if "--markdown" in words else _plain(seen), end="")  # noqa: T201
    survivors = [mutant.name for mutant, its in seen.items() if not caught(mutant, its)]
    if survivors:
        print(f"survived: {', '.join(survivors)}", file=sys.stderr)  # noqa: T201
    return 1 if survivors else 0


def caught(mutant: Mutant, seen: Outcome) -> bool:
    """True if it is no PASS, and the expected check is among the reasons."""
    return seen.verdict != "PASS" and any(mutant.caught_by == r.text for r in seen.reasons)


def _plain(seen: Mapping[Mutant, Outcome]) -> str:
    lines = []
    for mutant, its in seen.items():
        lines.append(f"{mutant.name}: {its.verdict}")
        lines += [f"    {r.verdict} {r.text}: {_short(r.observed)}" for r in its.reasons]
    return "\n".join(lines) + "\n"


def page(seen: Mapping[Mutant, Outcome]) -> str:
    """docs/mutants.md."""
    tables = ("\n".join(_table(group, mutants, seen)) for group, mutants in MUTANTS.items())
    return f"{HEAD}\n{len(seen)} mutants, none survives.\n\n" + "\n\n".join(tables) + "\n"


def _table(group: str, mutants: Sequence[Mutant], seen: Mapping[Mutant, Outcome]) -> Iterator[str]:
    yield f"## {group}\n"
    yield "| mutant | imitates | verdict | first caught by | its message | also |"
    yield "|---|---|---|---|---|---|"
    for mutant in mutants:
        head, *others = seen[mutant].reasons
        words = (mutant.name, mutant.imitates, seen[mutant].verdict, head.text)
        cells = (*words, _short(head.observed), str(len(others) or ""))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= WIDTH else text[: WIDTH - 1].rsplit(" ", 1)[0] + " …"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
