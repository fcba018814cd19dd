"""Arrows point one way: the imports of every module are walked."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("chaos", "dashboards", "reports", "scenarios", "stack", "tests", "tools")

# What a module may import of ours; the first prefix that fits decides.
MAY_IMPORT = {
    "stack.shortener.infra": ("stack.shortener.__version__", "stack.shortener.infra"),
    "stack.shortener.http": (
        "stack.shortener.__version__", "stack.shortener.http", "stack.shortener.infra",
    ),
    "stack.shortener.settings": ("stack.shortener.http", "stack.shortener.infra"),
    "stack.shortener.clicks": (
        "stack.shortener.clicks", "stack.shortener.http", "stack.shortener.infra",
        "stack.shortener.settings",
    ),
    "stack.shortener.redirect": (
        "stack.shortener.redirect", "stack.shortener.clicks", "stack.shortener.http",
        "stack.shortener.infra", "stack.shortener.settings",
    ),
    "stack.shortener.api": (
        "stack.shortener.__version__", "stack.shortener.api", "stack.shortener.redirect",
        "stack.shortener.clicks", "stack.shortener.http", "stack.shortener.infra",
        "stack.shortener.settings",
    ),
    "stack": ("stack",),
    "chaos.model": ("chaos.model",),
    "chaos.acts.failover": ("chaos.model", "chaos.acts", "chaos.failover", "chaos.runtimes"),
    "chaos.acts.patroni": ("chaos.model", "chaos.acts", "chaos.failover"),
    "chaos.acts": ("chaos.model", "chaos.acts", "chaos.runtimes.topology"),
    "chaos.failover": ("chaos.model", "chaos.runtimes", "chaos.failover"),
    "chaos.measures": ("chaos.model", "chaos.measures"),
    "chaos.judge": ("chaos.model", "chaos.measures", "chaos.judge"),
    "chaos.experiments": (
        "chaos.model", "chaos.acts", "chaos.measures", "chaos.judge", "chaos.experiments",
    ),
    "chaos.record": ("chaos.model", "chaos.record"),
    "chaos.runtimes": ("chaos.model", "chaos.runtimes"),
    "chaos.perf": ("chaos.model", "chaos.measures", "chaos.runtimes", "chaos.perf"),
    "chaos.engine": ("chaos.model", "chaos.record", "chaos.runtimes", "chaos.engine"),
    "chaos.control": (
        "chaos.model", "chaos.acts", "chaos.experiments", "chaos.record", "chaos.engine",
        "chaos.control", "reports",
    ),
    "chaos.toxiproxy": ("chaos.toxiproxy",),
    "chaos.cli": ("chaos", "reports"),
    "chaos": ("chaos.cli",),
    "dashboards": ("chaos.runtimes.topology", "dashboards"),
    "reports": ("chaos.model", "chaos.record", "reports"),
    "scenarios.generator": ("chaos.model", "scenarios.generator"),
    "scenarios": ("chaos.model", "scenarios"),
    "tools.bench.hosted": ("stack.shortener",),
    "tools.bench.proxy_latency": ("chaos.toxiproxy", "tools.bench"),
    "tools.bench": (
        "chaos.engine", "chaos.measures", "chaos.model", "chaos.perf.arm_client",
        "chaos.perf.cores", "chaos.record", "chaos.runtimes", "tools.bench",
    ),
    "tools.crashtest.experiments": ("chaos.experiments", "chaos.model"),
    "tools.crashtest.program": ("chaos.cli.entry", "chaos.cli.exits", "chaos.experiments"),
    "tools.crashtest.crashes": ("chaos.runtimes.topology", "tools.crashtest"),
    "tools.crashtest.failover_lab": ("chaos.acts.failover", "chaos.model", "chaos.runtimes"),
    "tools.crashtest": ("tools.crashtest",),
    "tools.detection": (
        "chaos.acts", "chaos.engine", "chaos.experiments", "chaos.judge", "chaos.model",
        "chaos.record", "chaos.runtimes", "reports", "tools.detection",
    ),
    "tools.perf": (
        "chaos.measures", "chaos.model.stack", "chaos.perf", "reports.palette", "tools.perf",
    ),
    "tools.sabotage": ("tools.sabotage",),
}  # fmt: skip

# Libraries that stay behind one place.
ONLY_IN: dict[str, str | tuple[str, ...]] = {
    "granian": "tools.bench.hosted",
    "docker": "chaos.runtimes.compose",
    "grafana_api": "chaos.engine.annotations",
    "locust": "scenarios",
    "toxiproxy": "chaos.runtimes.toxics",
    "uvicorn": ("stack", "tools.bench.hosted", "chaos.control.http_server", "chaos.toxiproxy"),
}


def modules() -> list[Path]:
    return [
        path
        for package in OURS
        if package != "tests"
        for path in sorted((ROOT / package).rglob("*.py"))
    ]


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(path: Path) -> tuple[str, ...]:
    return tuple(imports_in(path))


def imports_in(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def allowed(module: str) -> tuple[str, ...]:
    return next(may for prefix, may in MAY_IMPORT.items() if within(module, (prefix,)))


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_module_imports_only_what_its_place_allows(path: Path) -> None:
    ours = [name for name in imports_of(path) if within(name, OURS)]
    wrong = [name for name in ours if not within(name, allowed(name_of(path)))]
    assert not wrong


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_library_stays_behind_its_one_module(path: Path) -> None:
    for library, place in ONLY_IN.items():
        places: tuple[str, ...] = (place,) if isinstance(place, str) else place
        if any(within(name, (library,)) for name in imports_of(path)):
            assert within(name_of(path), places), f"{library} belongs in {place}"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_module_says_in_its_first_line_what_it_is_for(path: Path) -> None:
    tree = tree_of(path)
    assert (ast.get_docstring(tree) or "").strip() or not tree.body


def test_the_system_under_test_never_mentions_the_lab() -> None:
    for path in sorted((ROOT / "stack").rglob("*")):
        if path.is_file() and path.suffix in {".py", ".sql", ".conf", ".json"}:
            text = path.read_text(encoding="utf-8").lower()
            assert "linkstorm_" not in text, path
            assert "chaos" not in text, path


@pytest.mark.parametrize("path", sorted((ROOT / "chaos" / "experiments").glob("[a-z]*.py")))
def test_an_experiment_is_one_short_file(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60
