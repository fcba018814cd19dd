"""Clicks from the redirect to Postgres: buffered, streamed, stored once."""
