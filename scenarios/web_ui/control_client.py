"""HTTP client of the lab's control server, with the token that both share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

TOKEN_HEADER = "X-Linkstorm-Token"
READ_TIMEOUT_S = 5.0
HEAL_TIMEOUT_S = 120.0  # a killed database recovers first


class ControlError(Exception):
    """The control server refused or did not answer; the page shows the message."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class ControlClient:
    """Connection settings: the URL, and the token from the environment or a file."""

    url: str
    environment: Mapping[str, str]

    @staticmethod
    def from_environment() -> ControlClient | None:
        """The client for `LINKSTORM_CONTROL_URL`, if it is set."""
        url = os.environ.get("LINKSTORM_CONTROL_URL")
        return ControlClient(url.rstrip("/"), os.environ) if url else None

    def state(self) -> dict[str, Any]:
        """The state that the page shows."""
        return _json(self._request("GET", "/state", timeout_s=READ_TIMEOUT_S))

    def change(self, method: str, path: str, body: bytes = b"") -> dict[str, Any]:
        """Pass a change on; the control server validates the body."""
        return _json(self._request(method, path, body, HEAL_TIMEOUT_S))

    def report(self, run: str) -> bytes:
        """The page of a run."""
        path = f"/runs/{quote(run, safe='')}/report"
        return self._request("GET", path, timeout_s=READ_TIMEOUT_S).content

    def _request(
        self, method: str, path: str, body: bytes = b"", timeout_s: float = 0.0
    ) -> requests.Response:
        try:
            answer = requests.request(
                method,
                self.url + path,
                data=body,
                headers={TOKEN_HEADER: self._token()},
                timeout=timeout_s,
                allow_redirects=False,
            )
        except (OSError, requests.RequestException) as problem:
            raise ControlError(502, f"the control server does not answer: {problem}") from problem
        if not answer.ok:
            raise ControlError(answer.status_code, _error_message(answer))
        return answer

    def _token(self) -> str:
        if token := self.environment.get("LINKSTORM_CONTROL_TOKEN"):
            return token
        file = self.environment.get("LINKSTORM_CONTROL_TOKEN_FILE", "")
        return Path(file).read_text(encoding="ascii").strip()


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        found: dict[str, Any] = answer.json()
    except ValueError as foreign:
        raise ControlError(
            502, f"the server at {answer.url} is not the lab's control server"
        ) from foreign
    return found


def _error_message(answer: requests.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"the control server answered {answer.status_code}"
