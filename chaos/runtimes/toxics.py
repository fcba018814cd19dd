"""Toxics on a lab's links, through toxiproxy-python, which nothing else imports.

That library keeps the server's address in class attributes, sets no timeouts and ignores most
status codes. So every use of it goes through `_library`, with an address and a session of ours
(docs/decisions/0008-toxiproxy.md).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests
from toxiproxy import Toxiproxy, api  # type: ignore[import-untyped]

from chaos.model.stack import LinkState, StackError, Undo

TIMEOUT_S = 5.0
NOT_FOUND = 404

_library_in_use = threading.Lock()


class ToxicsError(StackError):
    """Toxiproxy refused, or did not answer: `status` is 0 then."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Toxics:
    """The links and toxics of one Toxiproxy server. Thread-safe.

    Each method raises `ToxicsError` if the server refuses, or does not answer within 5 s.
    """

    def __init__(self, url: str, names: Mapping[str, str] | None = None) -> None:
        """`names`: the part at each upstream address; a link leads to an address without one."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or not parts.port:
            raise ValueError(f"{url}: Toxiproxy's address must look like http://127.0.0.1:8474")
        self._host, self._port = parts.hostname, parts.port
        self._names = names or {}

    def populate(self, proxies: Mapping[str, tuple[str, str]]) -> None:
        """Create a link for each name, given as (listen, upstream), both `host:port`."""
        wanted = [
            {"name": name, "listen": listen, "upstream": upstream}
            for name, (listen, upstream) in proxies.items()
        ]
        with self._library() as toxiproxy:
            toxiproxy.populate(wanted)

    def add(self, link: str, kind: str, stream: str, attributes: Mapping[str, float]) -> Undo:
        """Put a toxic on a link; it is there when this returns.

        Args:
            link: The name of the link.
            kind: `latency`, `bandwidth`, …
            stream: `upstream` (requests) or `downstream` (answers).
            attributes: Whole numbers; Toxiproxy takes no others.

        Returns:
            A function that removes it, idempotent; raises `ToxicsError` while the toxic cannot be
            removed.

        Raises:
            ValueError: An attribute is not whole.
        """
        name = f"{kind}_{stream}"
        whole = {key: _whole(key, value) for key, value in attributes.items()}
        with self._library() as toxiproxy:
            proxy = self._proxy(toxiproxy, link)
            proxy.add_toxic(type=kind, stream=stream, name=name, attributes=whole)
        return lambda: self._remove(proxy, name)

    def put(self, link: str, upstream: str, *, is_open: bool) -> None:
        """Lead a link to an address, open or closed.

        Whenever that changes something its connections are dropped, with all they hold.
        """
        with _StrictSession(self._where) as session:
            url = f"http://{self._host}:{self._port}/proxies/{link}"
            session.post(url, json={"upstream": upstream, "enabled": is_open})

    def links(self) -> dict[str, LinkState]:
        """Every link as it is now: one request, without the library, cheap enough to poll."""
        with _StrictSession(self._where) as session:
            try:
                proxies = session.get(f"http://{self._host}:{self._port}/proxies").json()
            except requests.RequestException as error:
                raise ToxicsError(f"{self._where}: {error}") from error
        return {name: self._state(proxy) for name, proxy in sorted(proxies.items())}

    def reset(self) -> None:
        """Open every link again, and remove every toxic."""
        with self._library() as toxiproxy:
            toxiproxy.reset()

    def _state(self, proxy: Mapping[str, Any]) -> LinkState:
        to = self._names.get(proxy["upstream"], proxy["upstream"])
        return LinkState(proxy["enabled"], [*map(_described, proxy["toxics"])], to)

    def _proxy(self, toxiproxy: Toxiproxy, link: str) -> Any:
        proxy = toxiproxy.get_proxy(link)
        if proxy is None:
            raise ToxicsError(f"{self._where} has no link {link!r}", NOT_FOUND)
        return proxy

    def _remove(self, proxy: Any, name: str) -> None:
        try:
            with self._library():
                proxy.destroy_toxic(name)
        except ToxicsError as error:
            if error.status != NOT_FOUND:
                raise ToxicsError(
                    f"toxic {name} is still on link {proxy.name}: {error}", error.status
                ) from error

    @property
    def _where(self) -> str:
        return f"Toxiproxy at {self._host}:{self._port}"

    @contextmanager
    def _library(self) -> Iterator[Toxiproxy]:
        """The library with this server's address and our session, for one thread at a time."""
        with _library_in_use, _StrictSession(self._where) as session:
            before = api.requests
            toxiproxy = Toxiproxy()
            toxiproxy.update_api_consumer(self._host, self._port)
            api.requests = session
            try:
                yield toxiproxy
            except requests.RequestException as error:
                raise ToxicsError(f"{self._where}: {error}") from error
            finally:
                api.requests = before


class _StrictSession(requests.Session):
    """A session with a timeout, errors on every refusal, and no proxy of the environment."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.trust_env = False
        self._where = where

    def request(self, method: str | bytes, url: str | bytes, **options: Any) -> requests.Response:  # type: ignore[override]
        """Send a request.

        Raises:
            ToxicsError: The server refused, or did not answer in time.
        """
        options["timeout"] = TIMEOUT_S
        try:
            answer = super().request(method, url, **options)
        except requests.Timeout as error:
            raise ToxicsError(f"{self._where} did not answer within {TIMEOUT_S:g} s") from error
        except requests.ConnectionError as error:
            raise ToxicsError(f"{self._where} cannot be reached; is it running?") from error
        if not answer.ok:
            raise ToxicsError(f"{self._where}: {_message(answer)}", answer.status_code)
        return answer


def _described(toxic: Mapping[str, Any]) -> str:
    """`latency downstream latency=120`, without attributes that are zero."""
    given = [f"{name}={value}" for name, value in toxic["attributes"].items() if value]
    given += [f"toxicity={toxic['toxicity']:g}"] * (toxic["toxicity"] != 1)
    return " ".join([toxic["type"], toxic["stream"], *given])


def _message(answer: requests.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, LookupError, TypeError):
        return f"{answer.status_code} {answer.reason}"


def _whole(name: str, value: float) -> int:
    if value != int(value):
        raise ValueError(f"toxic attribute {name}={value} must be whole: Toxiproxy takes no other")
    return int(value)
