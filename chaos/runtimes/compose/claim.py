"""The claim of a run on the lab, renewed at its control as long as the run lasts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from chaos.model.stack import Endpoints, StackError

RENEW_EVERY_S = 1.0
TIMEOUT_S = 3.0
TAKEN = 409
HEADER = "X-Linkstorm-Token"


@contextmanager
def claimed(lab: Endpoints, run: str) -> Iterator[None]:
    """Hold the lab for this run; the claim lapses by itself if this process is killed.

    Raises:
        StackError: another run holds it, or the control does not answer.
    """
    claim = _Claim(lab, run)
    claim.renew(first=True)
    stop = threading.Event()
    renewing = threading.Thread(target=_keep_renewing, args=(claim, stop), name="claim")
    renewing.start()
    try:
        yield
    finally:
        stop.set()
        renewing.join()
        claim.release()


def _keep_renewing(claim: _Claim, stop: threading.Event) -> None:
    while not stop.wait(RENEW_EVERY_S):
        try:
            claim.renew()
        except StackError:  # a control that is gone for a while: other claims are refused meanwhile
            continue


class _Claim:
    def __init__(self, lab: Endpoints, run: str) -> None:
        self._url = f"{lab.control}/claim"
        self._headers = {HEADER: lab.control_token or ""}
        self._body = {"run": run}

    def renew(self, *, first: bool = False) -> None:
        answer = self._send("PUT", first=first)
        if answer.status_code == TAKEN:
            raise StackError(answer.json()["error"])
        if not answer.ok:
            raise StackError(f"the lab's control API refused this run: {answer.text.strip()}")

    def release(self) -> None:
        try:
            self._send("DELETE")
        except StackError:
            return  # it lapses by itself

    def _send(self, method: str, **more: bool) -> requests.Response:
        said = {**self._body, **more}
        try:
            return requests.request(
                method, self._url, json=said, headers=self._headers, timeout=TIMEOUT_S
            )
        except requests.RequestException as error:
            raise StackError(
                f"the lab's control API at {self._url} does not answer: `make up` starts it again"
            ) from error
