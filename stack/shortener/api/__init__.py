"""The HTTP API under /api: links, their statistics, API keys and the OpenAPI description."""
