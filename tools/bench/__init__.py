"""Benchmarks: the cost of a redirect on one core beside a bare server, and the load generator."""
