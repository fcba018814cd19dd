"""Imports of a web process and a worker, for a server that forks them, such as gunicorn with
`--preload`. No connection is opened and no id minted before a fork."""

from __future__ import annotations

from stack.shortener.infra import spans

spans.leave_out()

import uvicorn.lifespan.off  # noqa: E402, F401
import uvloop  # noqa: E402, F401
