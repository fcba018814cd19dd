"""The settings of an arm, as a file in a volume that web and worker read when they start.

A restart with another file takes a second; containers made anew would take several, and lose their
logs and addresses.
"""

from __future__ import annotations

from docker.models.containers import Container

from chaos.model.stack import Settings, StackError
from chaos.runtimes.compose.containers import put_file
from chaos.runtimes.topology import SETTING_PREFIX

FOLDER, NAME = "/etc/shortener", "settings.env"


def write_settings(container: Container, settings: Settings) -> None:
    """Replace the file, through a container that may write to the volume."""
    if split := [name for name, value in settings.items() if "\n" in value]:
        raise StackError(f"a setting is one line: {', '.join(split)}")
    lines = [f"{SETTING_PREFIX}{name}={value}\n" for name, value in sorted(settings.items())]
    put_file(container, FOLDER, NAME, "".join(lines))
