"""The QR code of a short link, as a picture."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Literal, get_args

import segno

Format = Literal["svg", "png"]
FORMATS: tuple[str, ...] = get_args(Format)
MEDIA_TYPES = {"svg": "image/svg+xml", "png": "image/png"}
SCALE_DEFAULT, SCALE_MOST = 8, 32
WORTH = 10  # drawing takes as much time as ten other requests


@lru_cache(maxsize=256)
def draw(text: str, form: str, scale: int) -> bytes:
    """The picture, `scale` pixels to a module, black on white; it survives a scratch (level M)."""
    picture = io.BytesIO()
    code = segno.make(text, error="m", micro=False)
    code.save(picture, kind=form, scale=scale, light="white")
    return picture.getvalue()
