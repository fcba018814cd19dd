"""Files for DuckDB, by file descriptor instead of path.

DuckDB takes a path for a pattern (`run[1]` finds `run1`), columns (`segment=3/`) or a URL (`s3:`),
and accepts only UTF-8. So a file is opened here, and read or written as `/dev/fd/N`.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path


class Files(ExitStack):
    """Files that are open until the end of a `with` block."""

    def named(self, path: Path, mode: str = "rb") -> str:
        """Open a file; return its name for DuckDB, which needs no quotes.

        Raises:
            OSError: it cannot be opened.
        """
        return f"/dev/fd/{self.enter_context(path.open(mode)).fileno()}"
