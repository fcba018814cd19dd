"""Each experiment has a page of panels of its own, which says what to look for in each arm."""

from __future__ import annotations

import pytest

from chaos import experiments as chaos_experiments
from dashboards import experiments
from dashboards.catalogue import DASHBOARDS
from dashboards.grafana_json import as_json
from dashboards.panel import Dashboard
from tests.support.known_metrics import ROOT

PAGES = {page.name: page for page in experiments.pages()}


@pytest.mark.parametrize("name", chaos_experiments.names())
def test_every_experiment_has_a_page(name: str) -> None:
    module = f"dashboards/experiments/{name.replace('-', '_')}.py"
    assert name in PAGES, (
        f"{name} has no panels: write {module}, with the two to six panels that answer its "
        "question; CONTRIBUTING.md, 'Add an experiment', says how"
    )
    assert PAGES[name] in DASHBOARDS


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_page_is_named_as_its_module_and_is_of_an_experiment(page: Dashboard) -> None:
    assert page.name in chaos_experiments.names(), f"{page.name}: there is no such experiment"
    module = ROOT / "dashboards" / "experiments" / f"{page.name.replace('-', '_')}.py"
    assert module.is_file(), f"{page.name} is not in {module.name}"


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_page_says_in_words_what_to_look_for_in_every_arm(page: Dashboard) -> None:
    look, *panels = page.panels
    assert look.kind == "text"
    naive, _, fixed = look.description.partition("*Fixed:*")
    experiment = chaos_experiments.load(page.name)
    arms = [arm.name for arm in experiment.arms]
    assert [name for name in arms if f"`{name}`" not in look.description] == []
    assert [a.name for a in experiment.arms if a.naive and f"`{a.name}`" not in naive] == []
    assert any(f"`{arm.name}`" in fixed for arm in experiment.arms if not arm.naive)
    assert 2 <= len(panels) <= 6


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_page_asks_the_question_of_its_experiment(page: Dashboard) -> None:
    question = " ".join((chaos_experiments.load(page.name).lesson or "").split("\n\n")[0].split())
    assert page.about == question


def test_the_text_is_what_grafana_shows() -> None:
    page = PAGES["stale-reads"]
    (text,) = [panel for panel in as_json(page)["panels"] if panel["type"] == "text"]
    assert text["options"] == {"mode": "markdown", "content": page.panels[0].description}
    assert "targets" not in text
