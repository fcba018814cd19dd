"""The open-loop load generator: arrivals, dispatch, HTTP, the record of requests."""
