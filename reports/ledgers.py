"""What clients were told against what the primary holds, by kind: clicks, links, edits."""

from __future__ import annotations

from collections.abc import Iterator

from reports.formatting import Json

WRONG = ("lost", "duplicated", "unexpected", "miscounted")
FIGURES = ("attempted", "acknowledged", "held", "lost", "found", *WRONG[1:])
NOT_READ = "nothing was read back"


def kinds(result: Json) -> list[str]:
    """The kinds that clients had a part in, or of which something is wrong."""
    found = dict.fromkeys(kind for arm in result["arms"] for kind in arm["ledgers"])
    return [kind for kind in found if any(_at_stake(arm, kind) for arm in result["arms"])]


def _at_stake(arm: Json, kind: str) -> bool:
    ledger = arm["ledgers"].get(kind)
    by_the_lab = arm["shared_links"] if kind == "links" else 0
    return ledger is not None and (ledger["attempted"] > by_the_lab or any(wrong(ledger)))


def wrong(ledger: Json) -> list[int]:
    """Counts that should be zero."""
    return [ledger[name] for name in WRONG]


def lines(result: Json) -> Iterator[tuple[str, str]]:
    """The counts of each kind: a line for all arms, or one for each if not equally wrong."""
    if not any(arm["ledgers"] for arm in result["arms"]):
        yield "clicks", NOT_READ
    for kind in kinds(result):
        books = {a["name"]: a["ledgers"][kind] for a in result["arms"] if kind in a["ledgers"]}
        if len({tuple(wrong(ledger)) for ledger in books.values()}) == 1:
            ledgers = [*books.values()]
            yield kind, _said({name: sum(one[name] for one in ledgers) for name in ledgers[0]})
        else:
            yield kind, "\n".join(f"{arm}: {_said(ledger)}" for arm, ledger in books.items())


def _said(ledger: Json) -> str:
    """`2,100 acknowledged · 12 lost, 12 found on a former primary · 0 duplicated · …`."""
    found = f", {ledger['found']:,} found on a former primary" if ledger["found"] else ""
    said = [f"{ledger[name]:,} {name}" for name in ("acknowledged", *WRONG[:3])]
    said[1] += found
    off = [f"totals off by {ledger['miscounted']:,}"] if ledger["miscounted"] else []
    return " · ".join([*said, *off])
