"""Crash tests: end labs in every way at random moments, and look for leftovers."""
