"""The pattern of a link's code; the CHECK of the table `links` repeats it."""

from __future__ import annotations

import re

CHARACTERS = "A-Za-z0-9_-"
MAX_LENGTH = 64
CODE = re.compile(f"[{CHARACTERS}]{{1,{MAX_LENGTH}}}")
