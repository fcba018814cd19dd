"""JSON bodies of requests, bounded in size and time."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import ClientDisconnect, Request

from stack.shortener.api import validation
from stack.shortener.http.problems import Problem


async def members(request: Request, max_bytes: int, timeout_s: float) -> dict[str, Any]:
    """The members of the JSON object in the body; raises `Problem`."""
    headers = request.headers
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "the body must be application/json")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem(415, "the body must not be compressed")
    try:
        async with asyncio.timeout(timeout_s):
            return validation.parse(await _read(request, max_bytes))
    except TimeoutError:
        close = {"Connection": "close"}
        raise Problem(408, f"the body took longer than {timeout_s:g} s", headers=close) from None
    except ClientDisconnect:
        raise Problem(400, "the body ended too early") from None


async def _read(request: Request, max_bytes: int) -> bytes:
    """Read the body; its Content-Length is not trusted."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise Problem(413, f"the body is longer than {max_bytes} bytes")
    return bytes(body)
