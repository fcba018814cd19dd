"""The experiments: one file is one experiment is one `make chaos-NAME`."""

from __future__ import annotations

import importlib
import pkgutil

from chaos.model import Experiment


class Unknown(Exception):
    """A name that does not exist; the message lists those that do."""

    def __init__(self, what: str, name: str, known: list[str]) -> None:
        super().__init__(f"no {what} called {name!r}; there are: {', '.join(known)}")


def names() -> list[str]:
    """Every experiment, by the name that the command line knows it by."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        Unknown: there is none.
    """
    if name.replace("_", "-") not in names():
        raise Unknown("experiment", name, names())
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    experiment: Experiment = module.experiment
    return experiment
