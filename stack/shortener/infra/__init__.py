"""Connections, deadlines, metrics and logs of every process."""
