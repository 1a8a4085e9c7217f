"""The site: every page has its place, generated pages are what the program says, and nothing is fetched to read it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from safebo.experiments.site.__main__ import PAGES
from safebo.experiments.site.diagrams import BLOCK, in_html

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
CONFIG = (ROOT / "mkdocs.yml").read_text()
MENU = re.findall(r"^ +- (?:.*: )?(\S+\.md)$", CONFIG.split("\nnav:\n", 1)[1], re.M)


def test_every_page_has_its_place_and_no_place_is_empty() -> None:
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    shown = {place.removeprefix("files/") for place in MENU if place.startswith("files/")}
    assert {page for page in pages if not page.startswith("examples/")} == set(MENU) - {
        f"files/{p}" for p in shown
    }
    assert all((ROOT / path).is_file() for path in shown)
    assert len(MENU) == len(set(MENU))


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_what_the_program_says(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "run: python -m safebo.experiments.site"


def test_every_public_name_has_its_place() -> None:
    import safebo

    shown = re.findall(r"^::: \S+\.(\w+)$", (DOCS / "python.md").read_text(), re.M)
    assert sorted(shown) == sorted(set(vars(safebo)["__all__"]) - {"__version__"})


def test_the_site_and_the_program_are_locked_to_the_same_versions() -> None:
    locked = [
        dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / file).read_text(), re.M))
        for file in ("requirements.lock", "docs/requirements.lock")
    ]
    both = locked[0].keys() & locked[1].keys()
    assert {"jinja2", "pyyaml"} <= both
    assert {name: locked[1][name] for name in both} == {name: locked[0][name] for name in both}


def test_nothing_is_fetched_from_elsewhere() -> None:
    assert "font: false" in CONFIG
    assert "://" not in re.sub(r"^#.*$", "", CONFIG, flags=re.M)
    for asset in (DOCS / "assets").iterdir():
        assert "://" not in asset.read_text()


def test_every_arrow_and_room_of_the_pages_flowcharts_is_drawn() -> None:
    text = (DOCS / "architecture.md").read_text()
    drawn = in_html(text)
    assert "```mermaid" not in drawn
    for title in re.findall(r'\["([^"]*)"\]', "".join(BLOCK.findall(text))):
        assert f">{title}</" in drawn
    for label in re.findall(r"-->\|(.*?)\|", text):
        assert f"<em>{label}</em>" in drawn
    with pytest.raises(ValueError, match="cannot be drawn"):
        in_html("```mermaid\nflowchart TD\n    a --> {\n```\n")


def test_the_readme_is_one_screen() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 60
