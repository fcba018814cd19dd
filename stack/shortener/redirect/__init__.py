"""`GET /{code}`: the cache, the database behind it, and the ways to fill a miss."""
