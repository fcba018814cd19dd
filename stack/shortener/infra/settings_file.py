"""Settings in a file of NAME=VALUE lines, so that a container gets others by a mere restart.

A value is what stands behind the first `=`, as it stands: there are no quotes and no expansion,
and a line that is no setting is told. (The dotenv reader of pydantic-settings skips such lines.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class SettingsFile:
    """What a file says by variable, and what is wrong with its form."""

    path: str
    values: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def read_file(path: str) -> SettingsFile:
    """The file's settings: none if there is no file, or no path at all."""
    try:
        text = Path(path).read_text(encoding="utf-8") if path else ""
    except FileNotFoundError:
        return SettingsFile(path)
    except (OSError, UnicodeDecodeError) as error:
        return SettingsFile(path, problems=(f"{path} cannot be read: {error}",))
    values: dict[str, str] = {}
    problems = []
    for number, line in enumerate(map(str.strip, text.split("\n")), start=1):
        if not line or line.startswith("#"):
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            problems.append(f"{path}, line {number}: {line!r} is not NAME=VALUE")
        elif name in values:
            problems.append(f"{path}, line {number}: {name} is there twice")
        else:
            values[name] = value
    return SettingsFile(path, values, tuple(problems))
