"""Read settings from a file of NAME=VALUE lines, which a restarted container reads anew.

A value is the literal text after the first `=`, without quotes or expansion. Malformed lines are
reported; the dotenv reader of pydantic-settings skips them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class SettingsFile:
    """The values in a file by variable, and the problems of its form."""

    path: str
    values: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def read_file(path: str) -> SettingsFile:
    """Read a file; it is empty if there is no file or no path."""
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
