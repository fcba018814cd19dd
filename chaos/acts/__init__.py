"""Faults and their probes."""
