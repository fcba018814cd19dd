"""The lab's control API, as the Chaos page reaches it: by HTTP, with the token that both know."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

TOKEN_HEADER = "X-Linkstorm-Token"
LOOK_TIMEOUT_S = 5.0
HEAL_TIMEOUT_S = 120.0  # a database that was killed recovers first


class ControlError(Exception):
    """The control refused, or did not answer; the message is for the person at the page."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class ControlClient:
    """Where it is, and where its token is: in our environment, or in a file it writes."""

    url: str
    environment: Mapping[str, str]

    @staticmethod
    def known() -> ControlClient | None:
        """The one that our environment names."""
        url = os.environ.get("LINKSTORM_CONTROL_URL")
        return ControlClient(url.rstrip("/"), os.environ) if url else None

    def state(self) -> dict[str, Any]:
        """Everything there is to show."""
        return _told(self._ask("GET", "/state", timeout_s=LOOK_TIMEOUT_S))

    def change(self, method: str, path: str, said: bytes = b"") -> dict[str, Any]:
        """Have something done; what the page sent is the control's to judge."""
        return _told(self._ask(method, path, said, HEAL_TIMEOUT_S))

    def report(self, run: str) -> bytes:
        """The page of a run."""
        path = f"/runs/{quote(run, safe='')}/report"
        return self._ask("GET", path, timeout_s=LOOK_TIMEOUT_S).content

    def _ask(
        self, method: str, path: str, said: bytes = b"", timeout_s: float = 0.0
    ) -> requests.Response:
        try:
            answer = requests.request(
                method,
                self.url + path,
                data=said,
                headers={TOKEN_HEADER: self._token()},
                timeout=timeout_s,
                allow_redirects=False,
            )
        except (OSError, requests.RequestException) as problem:
            raise ControlError(502, f"the control API does not answer: {problem}") from problem
        if not answer.ok:
            raise ControlError(answer.status_code, _why(answer))
        return answer

    def _token(self) -> str:
        if token := self.environment.get("LINKSTORM_CONTROL_TOKEN"):
            return token
        file = self.environment.get("LINKSTORM_CONTROL_TOKEN_FILE", "")
        return Path(file).read_text(encoding="ascii").strip()


def _told(answer: requests.Response) -> dict[str, Any]:
    try:
        told: dict[str, Any] = answer.json()
    except ValueError as foreign:
        raise ControlError(502, f"what answers at {answer.url} is not the control API") from foreign
    return told


def _why(answer: requests.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"the control API answered {answer.status_code}"
