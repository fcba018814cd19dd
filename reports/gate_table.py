"""A gate's outcome as a table for the terminal, and as Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reports import formatting
from reports.formatting import NOTHING, Json

MEANING = {
    "PASS": "no metric got slower by as much as its margin",
    "FAIL": "head is slower than base, or asks for more",
    "INCONCLUSIVE": "it is undecided if it got slower; nothing is blocked",
    "VOID": "base differs from itself, so no difference of this run means anything",
}
HEADINGS = ("metric", "base", "head", "change", "verdict", "margins")
BUSY = 0.6  # of a core: above this, queues are most of a latency
STYLES = {"PASS": "green", "FAIL": "bold red", "VOID": "magenta"}


def gate_table(document: Json) -> Iterator[RenderableType]:
    """The verdict, each metric's change with its bounds, and the counters that differ."""
    verdict = document["verdict"]
    yield Text.assemble(
        (document["service"], "bold"), "  ", (verdict, STYLES.get(verdict, "bold")),
        f"  {MEANING[verdict]}",
    )  # fmt: skip
    yield Text(compared(document), "dim")
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for heading in HEADINGS:
        grid.add_column(heading, no_wrap=heading != "metric", overflow="fold")
    for row, metric in zip(_rows(document), document["metrics"], strict=True):
        grid.add_row(*row, style=STYLES["FAIL"] if metric["verdict"] == "FAIL" else "")
    yield Padding(grid, (1, 0, 1, 1))
    for line in remarks(document):
        yield Text(f" {line}")


def markdown(document: Json) -> str:
    """The same for a comment: a table, and what else is to say."""
    lines = [
        f"### {document['service']}: {document['verdict']}",
        "",
        f"{MEANING[document['verdict']].capitalize()}.",
        "",
        f"| {' | '.join(HEADINGS)} |",
        f"|---|{'--:|' * 3}---|--:|",
        *(f"| {' | '.join(row)} |" for row in _rows(document)),
        "",
        *(f"- {line}" for line in remarks(document)),
        "",
        f"<sub>{compared(document)}. Change with its bounds: FAIL if the lower one is above the"
        " first margin, PASS if the upper one is below the second.</sub>",
        "",
    ]
    return "\n".join(lines)


def compared(document: Json) -> str:
    """Both revisions, and the amount of evidence."""
    base, head = (f"{document[s]['name']} ({document[s]['commit'][:10]})" for s in ("base", "head"))
    launches = (
        f"{document['launches']} launches, {document['requests']:,} requests at "
        f"{document['rate_per_s']:,.0f}/s"
    )
    evidence = launches if document["launches"] else "no launches"
    return f"base {base}, head {head}; {evidence}, {document['duration_s']:.0f} s"


def _rows(document: Json) -> Iterator[Sequence[str]]:
    for metric in document["metrics"]:
        base, head = (_time(metric[arm]) for arm in ("base", "head"))
        margins = f"+{metric['fail_above'] * 100:g} / +{metric['pass_below'] * 100:g} %"
        yield metric["name"], base, head, change_of(metric), metric["verdict"], margins


def _time(value_ms: float | None) -> str:
    if value_ms is None:
        return NOTHING
    return f"{value_ms * 1000:.1f} µs" if value_ms < 0.1 else formatting.milliseconds(value_ms)


def change_of(metric: Json) -> str:
    """`+2.1 % [+1.4, +2.8]`: a dash for a bound that is not known yet."""
    if metric["change"] is None:
        return NOTHING
    low, high = (_signed(metric[end]) for end in ("low", "high"))
    return f"{_signed(metric['change'])} % [{low}, {high}]"


def _signed(share: float | None) -> str:
    return NOTHING if share is None else f"{share * 100:+.1f}"


def remarks(document: Json) -> Iterator[str]:
    """Counters that differ or are not exact, wrong answers, and what made the run void."""
    if document["verdict"] == "FAIL" and not document["launches"]:
        yield "a counter decides, so nothing else was measured"
    if document["futile"]:
        yield f"ended after {document['launches']} launches: more would hardly have decided it"
    if document["void_by"]:
        yield f"base differs from itself by {', '.join(document['void_by'])}"
    wrong = document["wrong"]
    if wrong["head"] or wrong["base"] or wrong["again"]:
        decides = ": FAIL" if wrong["decides"] else ""
        yield (
            f"answers that were not as expected: {wrong['head']:,} of head, {wrong['base']:,} and "
            f"{wrong['again']:,} of base's two arms{decides}"
        )
    if document["spoiled"]:
        yield f"{document['spoiled']} launches were slower than the machine allowed, and done again"
    yield from _of_cores(document)
    yield from _of_counters(document["counters"])


def _of_cores(document: Json) -> Iterator[str]:
    """Remarks on arms that waited for each other, or for the client."""
    busy = [share for share in document["core_shares"] if share > BUSY]
    if busy:
        yield (
            f"the arms used up to {max(busy) * 100:.0f} % of their core, and above "
            f"{BUSY * 100:.0f} % in {len(busy)} launches, so they waited for each other: latencies "
            "are noisy (a lower rate_per_s helps)"
        )
    if document["asked_too_slowly"]:
        yield (
            "capacity is that of the client, or of the databases beside it: their core had no time "
            "left, and that of the servers had, so a PASS of it would say nothing"
        )


def _of_counters(counters: Sequence[Json]) -> Iterator[str]:
    """Counters that differ or are not exact; the number of the others."""
    same = 0
    for counter in counters:
        said = f"{counter['counter']} for each {counter['request']}"
        values = f"{counter['base']:.2f} → {counter['head']:.2f}"
        if counter["verdict"] == "not exact":
            yield f"{said}: {values}, not exact (base again: {counter['again']:.2f})"
        elif counter["verdict"] == "FAIL":
            yield f"{said}: {values}, FAIL"
        elif counter["head"] < counter["base"]:
            yield f"{said}: {values}, less than before"
        else:
            same += 1
    if same:
        others = "other " if same < len(counters) else ""
        yield f"{same} {others}counters are the same"
