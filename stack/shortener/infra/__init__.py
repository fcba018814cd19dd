"""Connections, deadlines, metrics and logs: what every process needs."""
