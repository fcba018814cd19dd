"""The environment of the lab, its clients and its children: the user's, cleaned.

Libraries and programs read variables that were set for others: a proxy, a database, another load
test. Each of them would change a run unnoticed. Only the standard library is imported here: this
runs before all else.
"""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Prefixes of the variables that are removed.
FOREIGN = (
    "SHORTENER_",  # the system under test has what an arm asks for
    "PG", "PSYCOPG_",  # libpq, asyncpg, Postgres itself
    "LOCUST", "FLASK_", "WERKZEUG_", "GEVENT", "PURE_PYTHON", "PYZMQ_",  # the load generator
    "UVICORN_", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "GRANIAN_", "PYDANTIC_",  # web
    "PROMETHEUS_", "OTEL_",  # metrics, traces
    "NGINX", "DUCKDB", "BOKEH_", "SCIPY_", "NUMPY_", "NPY_", "TYPER_",
    "REQUESTS_", "CURL_", "NETRC", "SSL_", "SSLKEYLOGFILE",  # HTTP clients
    "BASH_ENV", "LANGUAGE",
)  # fmt: skip

# Variables of Python with paths; all others change how it runs a program.
PYTHON_PATHS = {
    "PYTHONPATH", "PYTHONHOME", "PYTHONPLATLIBDIR", "PYTHONUSERBASE", "PYTHONNOUSERSITE",
    "PYTHONSAFEPATH", "PYTHONEXECUTABLE", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE",
}  # fmt: skip
PYTHON_TERMINAL = {"PYTHONIOENCODING", "PYTHONUTF8", "PYTHONCOERCECLOCALE", "PYTHONUNBUFFERED"}

# Instead of the files in a user's home that hold passwords for any host. It must not be a file:
# libpq warns of one that is not plain.
NO_PASSWORDS = {"NETRC": os.devnull, "PGPASSFILE": f"{os.devnull}/none"}

_given: Mapping[str, str] | None = None


def adopt() -> None:
    """Clean the environment of this process and of all that it starts from now on.

    Python has read its own variables by now, so it is started anew without them.
    """
    global _given
    _given = dict(os.environ)
    harmless = PYTHON_PATHS | PYTHON_TERMINAL
    unshaped = {
        name: value
        for name, value in _given.items()
        if not name.startswith("PYTHON") or name in harmless
    }
    if unshaped != _given:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], unshaped)
    clean = _cleaned(_given)
    os.environ.clear()
    os.environ.update(clean)


def as_given() -> dict[str, str]:
    """The user's own environment, for the user's own program: `docker`."""
    return dict(os.environ if _given is None else _given)


def clean_environment() -> dict[str, str]:
    """The environment of the lab's children: in English, and in UTC."""
    kept = {
        name: value
        for name, value in _cleaned(os.environ).items()
        if not name.startswith(("LINKSTORM_", "LC_", "FORCE_COLOR"))
    }
    path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
    return kept | {"PYTHONPATH": path, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def at_home(folder: Path) -> dict[str, str]:
    """The same with another home, for a program that reads settings there."""
    user_base = site.getuserbase()  # where packages may be that the lab needs
    return clean_environment() | {"HOME": str(folder), "PYTHONUSERBASE": user_base}


def _cleaned(given: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in given.items() if not _is_foreign(name)}
    if not (columns := kept.get("COLUMNS", "")).isdecimal() or int(columns) == 0:
        kept.pop("COLUMNS", None)  # rich would print nothing at all
    if kept.get("TMPDIR"):
        kept["TMPDIR"] = os.path.abspath(kept["TMPDIR"])  # noqa: PTH100 (Path has no lexical one)
    return kept | NO_PASSWORDS


def _is_foreign(name: str) -> bool:
    if name.startswith("PYTHON"):
        return name not in PYTHON_PATHS
    return name.upper().startswith(FOREIGN) or name.lower().endswith("_proxy")
