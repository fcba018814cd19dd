"""A Toxiproxy server on asyncio: the HTTP API, toxics and metrics of Toxiproxy 2.12."""
