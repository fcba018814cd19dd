"""Figures of a segment, and the estimates made of their repetitions."""
