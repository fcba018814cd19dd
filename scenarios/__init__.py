"""Open-loop traffic inside Locust: arrivals from a rate curve, each sent at its own time."""
