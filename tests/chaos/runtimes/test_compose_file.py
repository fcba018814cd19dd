"""docker-compose.yml: the same stack as the embedded one, fenced in, and found ill when it is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos.model.stack import THIRD
from chaos.runtimes.compose.containers import PART
from chaos.runtimes.compose.lifecycle import ON_DEMAND
from chaos.runtimes.embedded.part_commands import environment
from chaos.runtimes.topology import (
    LINKS,
    PARTS,
    SERVERS,
    SETTING_PREFIX,
    SHORTENER,
    link_port,
    port_names,
)

ROOT = Path(__file__).parents[3]
FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
BUILT_HERE = {"linkstorm/shortener", "linkstorm/lab"}
LOOKS_AT_BOTH_SIDES = {"toxiproxy", "lab"}

each_service = pytest.mark.parametrize("name", SERVICES)


def env_file(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_every_part_of_the_embedded_stack_is_a_service_of_that_name() -> None:
    assert {*PARTS, *SERVERS} <= set(SERVICES)
    assert {name: service["labels"][PART] for name, service in SERVICES.items()} == {
        name: name for name in SERVICES
    }


@pytest.mark.parametrize("name", SHORTENER)
def test_web_and_worker_go_through_the_same_links_as_embedded_ones(name: str) -> None:
    ports = dict.fromkeys(port_names(), 0)
    ports |= {link_port(link): number for number, link in enumerate(LINKS, start=1)}
    embedded = {
        key: value
        for key, value in environment(name, ports, {}).items()
        if key.startswith(SETTING_PREFIX)
    }
    contained = dict(SERVICES[name]["environment"])
    assert contained.pop("SHORTENER_SETTINGS_FILE") == "/etc/shortener/settings.env"
    assert set(contained) == set(embedded)
    for variable, url in contained.items():
        if variable.endswith("_URL"):
            port = int(re.search(r"toxiproxy:(\d+)", url).group(1))  # type: ignore[union-attr]
            link = next(each for each, to in LINKS.items() if to.port == port)
            assert embedded[variable] == url.replace(
                f"toxiproxy:{port}", f"127.0.0.1:{ports[link_port(link)]}"
            )


@pytest.mark.parametrize("name", SERVERS)
def test_databases_read_the_configuration_that_embedded_ones_read(name: str) -> None:
    assert mounted(name)["stack/postgres/postgresql.conf"] in " ".join(SERVICES[name]["command"])


def test_redis_and_nginx_read_the_files_that_embedded_ones_read() -> None:
    assert mounted("redis")["stack/redis/redis.conf"] in SERVICES["redis"]["command"]
    assert mounted("nginx")["stack/nginx/nginx.conf"].endswith("/nginx.conf.template")
    given = SERVICES["nginx"]["environment"]
    template = (ROOT / "stack" / "nginx" / "nginx.conf").read_text(encoding="utf-8")
    allowed = re.compile(given["NGINX_ENVSUBST_FILTER"].replace("$$", "$"))
    for variable in re.findall(r"\$\{(\w+)\}", template):
        assert variable in given
        assert allowed.search(variable)


def mounted(name: str) -> dict[str, str]:
    """Files of the project that a service sees, and where."""
    pairs = [volume.split(":") for volume in SERVICES[name]["volumes"] if volume.startswith("./")]
    return {source.removeprefix("./"): target for source, target, *_ in pairs}


@each_service
def test_what_is_mounted_is_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("./") and source != "./reports/runs":
            assert (ROOT / source).exists()


def test_application_and_data_meet_only_at_toxiproxy() -> None:
    both = {name for name, s in SERVICES.items() if {"application", "data"} <= set(s["networks"])}
    assert both == LOOKS_AT_BOTH_SIDES


@each_service
def test_ports_are_published_on_loopback_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:${"), port


@each_service
def test_a_service_is_fenced_in(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["restart"] == "no"
    assert "max-size" in service["logging"]["options"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}


def test_only_the_lab_may_talk_to_the_engine() -> None:
    mounts = {name for name, s in SERVICES.items() if "docker.sock" in str(s.get("volumes"))}
    assert mounts == {"lab"}


@each_service
def test_no_service_but_the_lab_runs_as_root(name: str) -> None:
    """The lab's user comes from `make up`, which names whoever called it."""
    service = SERVICES[name]
    if service["image"] in BUILT_HERE or name == "toxiproxy":
        assert "USER" in (ROOT / dockerfile(service)).read_text(encoding="utf-8")
    else:
        assert str(service["user"]).split(":")[0] not in ("0", "root")


def dockerfile(service: dict[str, Any]) -> Path:
    build = service["build"]
    return Path(build["context"], build.get("dockerfile", "Dockerfile"))


@each_service
def test_a_service_is_found_healthy_soon_and_looked_at_seldom(name: str) -> None:
    health = SERVICES[name]["healthcheck"]
    assert health["test"]
    assert health["start_interval"] == "500ms"
    assert health["interval"] == "30s"


@each_service
def test_a_service_waits_for_the_health_of_what_it_needs(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert set(SERVICES[needed].get("profiles", [])) <= {
            "obs",
            *SERVICES[name].get("profiles", []),
        }


def test_images_are_pinned_by_tag() -> None:
    variables = env_file(ROOT / ".env")
    for service in SERVICES.values():
        if service["image"] in BUILT_HERE:
            continue
        variable = service["image"].removeprefix("${").removesuffix("}")
        assert re.fullmatch(r"[\w/-]+:v?\d[\w.-]*", variables[variable]), variables[variable]


def test_observability_can_be_left_out() -> None:
    optional = {name for name, service in SERVICES.items() if service.get("profiles")} - {THIRD}
    assert optional == {
        *("prometheus", "grafana", "redis-exporter"),
        *("postgres-1-exporter", "postgres-2-exporter"),
    }
    for name in SERVICES.keys() - optional:
        assert not optional & set(SERVICES[name].get("depends_on", {}))


def test_nothing_starts_the_third_server_or_waits_for_it() -> None:
    assert SERVICES[THIRD]["profiles"] == [ON_DEMAND]
    assert not any(THIRD in service.get("depends_on", {}) for service in SERVICES.values())


def test_every_variable_of_the_file_is_given_or_has_a_default() -> None:
    given = {*env_file(ROOT / ".env"), "COMPOSE_PROJECT_NAME"}
    used = re.findall(r"(?<!\$)\$\{(\w+)(:-[^}]*)?\}", FILE.read_text(encoding="utf-8"))
    assert {name for name, default in used if not default} <= given


def test_docker_takes_the_file_with_the_official_images() -> None:
    if shutil.which("docker") is None:
        pytest.skip("there is no docker command: install Docker with its Compose plugin")
    told = subprocess.run(
        ["docker", "compose", "--profile", "obs", "--profile", "grafana", "config", "--quiet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if "is not a docker command" in told.stderr or "unknown flag" in told.stderr:
        pytest.skip("docker has no Compose plugin here")
    assert told.returncode == 0, told.stderr
    assert not told.stderr
