"""Region annotations in Grafana, through grafana-api, which no other module imports.

That library uses the environment's proxies even for loopback, has no anonymous access, and drops
an annotation's tags when it changes its end (docs/decisions/0010-grafana-api.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from grafana_api.grafana_api import GrafanaException  # type: ignore[import-untyped]
from grafana_api.grafana_face import GrafanaFace  # type: ignore[import-untyped]

TIMEOUT_S = 2.0


class AnnotationError(Exception):
    """Grafana cannot be reached, or refuses to write."""


@dataclass(frozen=True)
class Window:
    """A region annotation; `extend` moves its end."""

    id: int
    began_s: float
    text: str
    tags: Sequence[str]


class Annotations:
    """Writes to one Grafana, as the account in its URL or anonymously; times are Unix seconds."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise AnnotationError("Grafana's address must look like http://user:password@host:3000")
        self._where = f"Grafana at {parts.hostname}:{parts.port or ''}".rstrip(":")
        account = (unquote(parts.username or ""), unquote(parts.password or ""))
        face = GrafanaFace(
            account,
            host=parts.hostname,
            port=parts.port,
            url_path_prefix=f"{parts.path.strip('/')}/".lstrip("/"),
            protocol=parts.scheme,
            timeout=TIMEOUT_S,
        )
        face.api.s.trust_env = False
        if parts.username is None:
            face.api.auth = None
        self._annotations = face.annotations

    def begin(self, text: str, tags: Sequence[str], at_s: float) -> Window:
        """Create a window that begins at this time.

        Raises:
            AnnotationError: Grafana refused it.
        """
        answer = self._call("add_annotation", text=text, tags=list(tags), time_from=_ms(at_s))
        try:
            return Window(int(answer["id"]), at_s, text, tags)
        except (LookupError, TypeError, ValueError) as error:
            raise AnnotationError(f"{self._where} gave no id: {answer!r}") from error

    def extend(self, window: Window, until_s: float) -> None:
        """Move the end of a window to this time.

        Raises:
            AnnotationError: Grafana refused it.
        """
        self._call(
            "update_annotation",
            annotations_id=window.id,
            text=window.text,
            tags=list(window.tags),
            time_from=_ms(window.began_s),
            time_to=_ms(until_s),
        )

    def _call(self, method: str, **arguments: object) -> Any:
        try:
            return getattr(self._annotations, method)(**arguments)
        except (GrafanaException, requests.RequestException, ValueError) as error:
            raise AnnotationError(f"{self._where}: {error}") from error


def _ms(at_s: float) -> int:
    return round(at_s * 1000)
