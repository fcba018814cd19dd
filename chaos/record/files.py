"""Files for DuckDB, each by a name that can mean no other.

To DuckDB a path is a pattern (`run[1]` finds `run1`), a set of columns (`segment=3/`) or an address
(`s3:`), and it knows no path that is not UTF-8. So a file is opened here, and read or written under
its number.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path


class Files(ExitStack):
    """Files that stay open until the end of a `with` block."""

    def named(self, path: Path, mode: str = "rb") -> str:
        """The name of a file; nothing in it has to be quoted.

        Raises:
            OSError: it cannot be opened.
        """
        return f"/dev/fd/{self.enter_context(path.open(mode)).fileno()}"
