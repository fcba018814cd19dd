"""The experiments: one file is one experiment is one `make chaos-NAME`.

A module whose name begins with `_` is what an experiment has of its own beside it.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from traceback import extract_tb
from types import ModuleType

from chaos.judge.experiment_checks import nearest, problems
from chaos.model.experiment import Experiment


class UnknownName(Exception):
    """A name that does not exist; the message lists similar names, or all."""

    def __init__(self, what: str, name: str, known: list[str]) -> None:
        super().__init__(f"no {what} called {name!r}; {nearest(name, known)}")


class WrongExperiment(Exception):
    """An experiment that cannot be run; the message lists all that is wrong, a line each."""


def names() -> list[str]:
    """Names of all experiments, as on the command line."""
    modules = [module.name for module in pkgutil.iter_modules(__path__) if "-" not in module.name]
    return sorted(name.replace("_", "-") for name in modules if not name.startswith("_"))


def load(name: str) -> Experiment:
    """Import the experiment of that name, and check it.

    Raises:
        UnknownName: there is none.
        WrongExperiment: it names what does not exist, or cannot be judged.
    """
    if name not in names():
        raise UnknownName("experiment", name, names())
    try:
        module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
        experiment: Experiment = module.experiment
    except Exception as error:
        raise WrongExperiment(f"{name}: {_described(error)}") from error
    wrong = problems(experiment)
    if experiment.name != name:
        wrong.insert(0, f"its name is {experiment.name!r}, and its file's {name!r}")
    if wrong:
        raise WrongExperiment("\n".join(f"{name}: {problem}" for problem in wrong))
    return experiment


def _described(error: Exception) -> str:
    """An error of an experiment's module, with its line and the name that was meant."""
    own = [frame for frame in extract_tb(error.__traceback__) if frame.filename in _files()]
    where = f"line {own[-1].lineno}: " if own else ""
    hint = ""
    if isinstance(error, AttributeError) and error.name and isinstance(error.obj, ModuleType):
        hint = f"; {nearest(error.name, getattr(error.obj, '__all__', dir(error.obj)))}"
    return f"{where}{type(error).__name__}: {error}{hint}"


def _files() -> set[str]:
    modules = (file for folder in __path__ for file in Path(folder).glob("*.py"))
    return {str(file) for file in modules if file.name != "__init__.py"}
