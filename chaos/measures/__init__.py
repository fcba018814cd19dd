"""Figures of a segment, and how repetitions become one estimate."""
