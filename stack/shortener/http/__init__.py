"""HTTP: the server, its fast path for redirects, health, errors and request metrics."""
