"""Imports all that a web process and a worker do, for a server that forks them: gunicorn's
`--preload`, or any other. Nothing is connected, opened or minted before a fork."""

from __future__ import annotations

from stack.shortener.infra import spans

spans.block_opentelemetry()

import uvicorn.lifespan.off  # noqa: E402, F401
import uvloop  # noqa: E402, F401
