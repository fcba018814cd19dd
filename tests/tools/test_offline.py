"""The stand-ins for machines that cannot pull, held against what the Compose lab asks for."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
OFFLINE = ROOT / "tools" / "offline"

# Debian has no Grafana: the lab does without it there.
WITHOUT_STAND_IN = {"GRAFANA_IMAGE"}


def images(file: Path) -> dict[str, str]:
    """The image variables of an env file, with their values."""
    return dict(re.findall(r"^(\w+_IMAGE)=(\S+)$", file.read_text(), re.MULTILINE))


def stages(dockerfile: Path) -> dict[str, str]:
    """The named stages of a Dockerfile, with what each starts from."""
    return {
        name: base
        for base, name in re.findall(r"^FROM (\S+) AS (\S+)$", dockerfile.read_text(), re.MULTILINE)
    }


def test_every_image_of_the_lab_has_a_stand_in() -> None:
    asked = set(re.findall(r"\$\{(\w+_IMAGE)", (ROOT / "docker-compose.yml").read_text()))
    assert asked
    assert set(images(OFFLINE / "images.env")) == asked - WITHOUT_STAND_IN


def test_stand_ins_replace_what_the_lab_has_in_its_env_file() -> None:
    official = images(ROOT / ".env")
    assert set(images(OFFLINE / "images.env")) == set(official) - WITHOUT_STAND_IN


def test_every_stand_in_has_what_it_is_built_from() -> None:
    names = [
        re.fullmatch(r"linkstorm-offline/(.+):.+", name)
        for name in images(OFFLINE / "images.env").values()
    ]
    assert all(names)
    targets = {name[1] for name in names if name}
    built_for_everybody = {path.parent.name for path in (ROOT / "stack").glob("*/Dockerfile")}
    assert targets <= set(stages(OFFLINE / "Dockerfile")) | built_for_everybody


def test_stand_ins_start_from_nothing_that_would_be_pulled() -> None:
    found = stages(OFFLINE / "Dockerfile")
    base = re.search(r"^base=(\S+)$", (OFFLINE / "build").read_text(), re.MULTILINE)
    assert base
    assert {start for start in found.values() if start not in found} == {base[1]}


def test_no_image_of_ours_names_a_frontend_that_would_be_pulled() -> None:
    dockerfiles = [
        OFFLINE / "Dockerfile",
        *ROOT.glob("stack/**/Dockerfile"),
        *ROOT.glob("chaos/**/Dockerfile"),
    ]
    assert len(dockerfiles) >= 3
    assert [
        path for path in dockerfiles if re.search(r"(?i)^#\s*syntax\s*=", path.read_text())
    ] == []


def test_everybody_has_the_same_toxiproxy() -> None:
    asked = [images(file)["TOXIPROXY_IMAGE"] for file in (ROOT / ".env", OFFLINE / "images.env")]
    built = re.findall(
        r"^ARG TOXIPROXY_VERSION=(\S+)$",
        (ROOT / "stack" / "toxiproxy" / "Dockerfile").read_text(),
        re.MULTILINE,
    )
    assert {image.split(":")[1] for image in asked} == set(built)
