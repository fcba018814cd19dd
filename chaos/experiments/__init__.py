"""The experiments: one file is one experiment is one `make chaos-NAME`."""

from __future__ import annotations

import importlib
import pkgutil
from difflib import get_close_matches

from chaos.model.experiment import Experiment


class UnknownName(Exception):
    """A name that does not exist; the message lists similar names, or all."""

    def __init__(self, what: str, name: str, known: list[str]) -> None:
        alike = get_close_matches(name, known)
        hint = f"did you mean {' or '.join(alike)}?" if alike else f"there are: {', '.join(known)}"
        super().__init__(f"no {what} called {name!r}; {hint}")


def names() -> list[str]:
    """Names of all experiments, as on the command line; a module with a leading _ is none."""
    modules = [module.name for module in pkgutil.iter_modules(__path__)]
    return sorted(name.replace("_", "-") for name in modules if not name.startswith("_"))


def load(name: str) -> Experiment:
    """Import the experiment of that name.

    Raises:
        UnknownName: there is none.
    """
    if name not in names():
        raise UnknownName("experiment", name, names())
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    experiment: Experiment = module.experiment
    return experiment
