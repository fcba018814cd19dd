"""Imports all of web and worker, for a server that forks them, such as gunicorn with `--preload`.

No connection is opened and no id minted before a fork.
"""

from __future__ import annotations

from stack.shortener.infra import spans

spans.block_opentelemetry()

import uvicorn.lifespan.off  # noqa: E402, F401
import uvloop  # noqa: E402, F401

from stack.shortener import web  # noqa: E402, F401
from stack.shortener.clicks import worker  # noqa: E402, F401
