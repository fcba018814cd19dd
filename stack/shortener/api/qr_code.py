"""QR codes of short links."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Literal, get_args

import segno

Format = Literal["svg", "png"]
FORMATS: tuple[str, ...] = get_args(Format)
MEDIA_TYPES = {"svg": "image/svg+xml", "png": "image/png"}
SCALE_DEFAULT, SCALE_MAX = 8, 32
RATE_COST = 10  # drawing takes as much time as ten other requests


@lru_cache(maxsize=256)
def draw(text: str, image_format: str, scale: int) -> bytes:
    """An image with `scale` pixels per module, black on white, error correction level M."""
    picture = io.BytesIO()
    code = segno.make(text, error="m", micro=False)
    code.save(picture, kind=image_format, scale=scale, light="white")
    return picture.getvalue()
