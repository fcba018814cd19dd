"""Errors of the gate that its user can mend; each message says what is wrong, and where."""

from __future__ import annotations


class WrongInput(Exception):
    """The service file, a revision or a worktree cannot be measured as it is."""
