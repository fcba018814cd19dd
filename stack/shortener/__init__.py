"""A URL shortener: web processes, and a worker that counts clicks."""

__version__ = "0.1.0"
