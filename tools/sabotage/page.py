"""`docs/sabotage.md`: every sabotage, what it would have done to a user, and who caught it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tools.sabotage.model import Sabotage
from tools.sabotage.trial import Outcome

HEAD = """# Sabotage

The product, the lab or its environment is broken in one place, on purpose, in a copy; an experiment
runs in quick mode on the embedded stack; and its verdict must not be PASS, by the check that is
meant for it. `make sabotage` tries all of them, `make sabotage N=3` three at random, as CI does.
Tampered records are in [mutants.md](mutants.md).

Written by `make sabotage ARGS="--markdown docs/sabotage.md"`.
"""
COLUMNS = ("sabotage", "what was broken", "what it would do", "run", "verdict", "caught by")


def markdown(sabotages: Sequence[Sabotage], outcomes: Mapping[str, Outcome]) -> str:
    """The page; sabotages that were not tried now are left out."""
    tried = [each for each in sabotages if each.name in outcomes]
    caught = [each for each in tried if not each.missed_since]
    missed = [each for each in tried if each.missed_since]
    parts = [HEAD, f"{len(caught)} sabotages, each caught:\n", _table(caught, outcomes)]
    if missed:
        listed = [f"- **{each.name}**: {each.broken} {each.missed_since}" for each in missed]
        parts += ["\n## What no run can catch\n\nEach passes, and says why:\n", "\n".join(listed)]
    return "\n".join(parts) + "\n"


def _table(sabotages: Sequence[Sabotage], outcomes: Mapping[str, Outcome]) -> str:
    rows = [_row(each, outcomes[each.name]) for each in sabotages]
    return "\n".join(["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS), *rows])


def _row(sabotage: Sabotage, outcome: Outcome) -> str:
    run = f"`{sabotage.experiment}`, {', '.join(sabotage.arms) or 'all arms'}"
    cells = (
        *(sabotage.name, sabotage.broken, sabotage.harm, run, outcome.verdict),
        "; ".join(outcome.caught(sabotage)),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
