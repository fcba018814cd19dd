"""The run directory: writing it, reading it back."""
