"""Locust's web page with Linkstorm's fields, and the Chaos page."""
