"""`make mutate`: every mutant of the judge is killed by a test, or accepted with a reason.

mutmut changes one thing at a time in the modules named in pyproject.toml, and runs the tests that
reach it. Exactly the survivors must be listed, each with a reason, in
tests/support/mutation_survivors.toml. With `--markdown` it prints docs/mutation.md of the last run.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from mutmut.configuration import config
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

ACCEPTED = Path("tests/support/mutation_survivors.toml")
RESULTS = Path("mutants")
PROCESSES = "2"
SPINNER = "⠀⣿"  # the first and the last of the Braille patterns

KILLED = {"killed", "timeout"}
SURVIVED = {"survived", "no tests"}

FINE, SURVIVORS, NOT_RUN = 0, 1, 2


@dataclass(frozen=True)
class Change:
    """The change of a mutant, as text that does not depend on the code around it."""

    where: str  # `claims.at_most`
    was: str
    now: str

    def __str__(self) -> str:
        """As tests/support/mutation_survivors.toml has it."""
        return f"{{ in = '{self.where}', was = '''{self.was}''', now = '''{self.now}''' }},"


@dataclass(frozen=True)
class Mutant:
    """A mutant by mutmut's name, with its status."""

    name: str
    path: Path
    status: str

    @property
    def where(self) -> str:
        """Module and function: `claims.at_most`."""
        function, owner = orig_function_and_class_names_from_key(self.name)
        return ".".join(filter(None, [self.path.stem, owner, function]))


class NotRun(Exception):
    """No result: mutmut could not run, or did not finish."""


# --- results of mutmut ---------------------------------------------------------------------------


def mutate(chosen: Sequence[str]) -> None:
    """Run mutmut without its results of an earlier run, which it would not repeat.

    Raises:
        NotRun: it did not finish.
    """
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", PROCESSES]
    patterns = [pattern for choice in chosen for pattern in _patterns(choice)]
    shutil.rmtree(RESULTS, ignore_errors=True)  # an hour's work: not for a wrong name
    seen = None if sys.stdout.isatty() else subprocess.PIPE  # its spinner is for a terminal
    done = subprocess.run([*command, *patterns], stdout=seen, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise NotRun(f"{_last_words(done.stdout or '')}\nmutmut ended with {done.returncode}")


def _last_words(text: str) -> str:
    lines = [line for line in text.splitlines() if not SPINNER[0] <= line[:1] <= SPINNER[1]]
    return "\n".join(lines[-40:])


def _patterns(choice: str) -> Iterator[str]:
    """mutmut's names for the mutants of a module or function."""
    module, _, function = choice.partition(".")
    known = {path.stem: path for path in _modules()}
    if module not in known:
        raise NotRun(f"there is no module {module}: {', '.join(known)}")
    names = f"x_{function}__mutmut_*" if function else "*"
    yield f"{'.'.join(known[module].with_suffix('').parts)}.{names}"


def _modules() -> list[Path]:
    return [Path(name) for name in config().only_mutate]


def results(chosen: Sequence[str]) -> list[Mutant]:
    """The chosen mutants of the last run.

    Raises:
        NotRun: a module has no mutants, or a mutant has no result.
    """
    found = [mutant for path in _modules() for mutant in _of_module(path)]
    missing = {path.stem for path in _modules()} - {mutant.path.stem for mutant in found}
    if missing:
        raise NotRun(f"nothing was mutated in {', '.join(sorted(missing))}")
    mutants = [mutant for mutant in found if is_chosen(mutant.where, chosen)]
    unclear = [m for m in mutants if m.status not in KILLED | SURVIVED]
    if unclear or not mutants:
        names = ", ".join(f"{mutant.name} ({mutant.status})" for mutant in unclear[:5])
        raise NotRun(f"{len(unclear)} of {len(mutants)} mutants have no result: {names}")
    return mutants


def _of_module(path: Path) -> Iterator[Mutant]:
    data = SourceFileMutationData(path=path)
    data.load()
    for name, exit_code in data.exit_code_by_key.items():
        yield Mutant(name, path, status_by_exit_code[exit_code])


def is_chosen(where: str, chosen: Sequence[str]) -> bool:
    """True if a function is in these modules or functions; true for all without any."""
    return not chosen or any(f"{where}.".startswith(f"{choice}.") for choice in chosen)


def change(mutant: Mutant) -> Change:
    """The change of a mutant."""
    lines = get_diff_for_mutant(mutant.name, path=mutant.path).splitlines()[2:]
    was, now = (
        " ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+"
    )
    return Change(mutant.where, was, now)


# --- accepted survivors ---------------------------------------------------------------------------


def accepted(text: str) -> list[tuple[Change, str]]:
    """The survivors that have a reason, with it, from tests/support/mutation_survivors.toml.

    Raises:
        ValueError: a reason is empty.
    """
    groups = tomllib.loads(text).get("accepted", [])
    if not all(group["reason"].strip() for group in groups):
        raise ValueError("tests/support/mutation_survivors.toml has an empty reason")
    return [
        (Change(entry["in"], entry["was"], entry["now"]), " ".join(group["reason"].split()))
        for group in groups
        for entry in group["mutants"]
    ]


def complaints(survived: Sequence[Change], may: Sequence[Change]) -> Iterator[str]:
    """Compare the survivors with the accepted ones; duplicates count."""
    without = Counter(survived) - Counter(may)
    if without:
        yield "These mutants survived without a reason:"
        yield from map(str, without.elements())
    stale = Counter(may) - Counter(survived)
    if stale:
        yield "These have a reason, but are killed now, or are not made any more:"
        yield from map(str, stale.elements())


# --- output ---------------------------------------------------------------------------------------


def table(mutants: Sequence[Mutant]) -> Iterator[str]:
    """Mutants of each module by status, as Markdown."""
    yield "| module | mutants | killed | of these by timeout | survived |"
    yield "|---|---|---|---|---|"
    rows = {m: list(own) for m, own in groupby(mutants, lambda mutant: mutant.path.stem)}
    for name, own in [*rows.items(), ("all", mutants)]:
        seen = Counter(mutant.status for mutant in own)
        killed, survived = (sum(seen[s] for s in group) for group in (KILLED, SURVIVED))
        yield f"| {name} | {len(own)} | {killed} | {seen['timeout']} | {survived} |"


HEAD = """# Mutation: do the tests notice when what judges a run is wrong?

[Errors in a record](mutants.md) show that the checks see what is wrong with a run. Here the checks
get the errors: mutmut changes one operator, figure, argument or text at a time in the modules that
judge a run, and one of the fast tests named in `pyproject.toml` must fail. A survivor needs a
reason in `tests/support/mutation_survivors.toml`, by function and changed line; a reason whose
mutant is killed or gone is refused, too, and so is a run that tested nothing. mutmut leaves alone
constants and other code at the top of a module, properties, calls of `len`, and the text of
f-strings.

`make mutate` runs it (the better part of an hour), `make mutate ARGS=run_checks` or
`ARGS=claims.at_most` a part; then
`python -m tests.support.mutation_survivors --markdown > docs/mutation.md` writes this page.

## Mutants by module
"""


def page(mutants: Sequence[Mutant], reasons: Sequence[tuple[Change, str]]) -> Iterator[str]:
    """docs/mutation.md."""
    yield HEAD
    yield from table(mutants)
    yield ""
    yield from accepted_survivors(reasons)


def accepted_survivors(reasons: Sequence[tuple[Change, str]]) -> Iterator[str]:
    """Its part on the survivors."""
    yield "## Accepted survivors\n\n| mutants | in | because |\n|---|---|---|"
    for reason, count in Counter(reason for _, reason in reasons).most_common():
        places = sorted({own.where for own, its in reasons if its == reason})
        yield f"| {count} | {', '.join(f'`{place}`' for place in places)} | {reason} |"


def main(words: Sequence[str]) -> int:
    """The exit code: 0 if every survivor has its reason, 1 if not, 2 if nothing can be said."""
    as_page = list(words) == ["--markdown"]
    chosen = [] if as_page else words
    try:
        if not as_page:
            mutate(chosen)
        mutants = results(chosen)
    except NotRun as why:
        sys.stderr.write(f"{why}\nThis shows nothing.\n")
        return NOT_RUN
    reasons = accepted(ACCEPTED.read_text(encoding="utf-8"))
    survived = [change(mutant) for mutant in mutants if mutant.status in SURVIVED]
    wrong = [*complaints(survived, [own for own, _ in reasons if is_chosen(own.where, chosen)])]
    told = page(mutants, reasons) if as_page and not wrong else [*table(mutants), *wrong]
    sys.stdout.write("\n".join(told) + "\n")
    return SURVIVORS if wrong else FINE


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
