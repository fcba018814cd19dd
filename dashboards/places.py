"""What the provisioning files, the dashboards and their links have to agree on."""

DATASOURCE = "linkstorm-prometheus"
FOLDER = "linkstorm"
TAG = "linkstorm"
LOCUST = "http://127.0.0.1:8089"
PROMETHEUS = "http://127.0.0.1:9090"


def uid(name: str) -> str:
    """The identity of a dashboard, which links rest on."""
    return f"linkstorm-{name}"
