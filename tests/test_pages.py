"""The pages: links lead somewhere, and the modules, names and commands they speak of exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from test_arrows import MODULES

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def headings(page: Path) -> set[str]:
    """Fragments of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    kept = (re.sub(r"[^\w\- ]", "", title.lower()) for title in re.findall(r"^#+ (.*)$", text, re.M))
    return {title.strip().replace(" ", "-") for title in kept}


def is_there(name: str) -> bool:
    """Whether a dotted name is a module of ours, or a class, function or constant of one, or an attribute of that."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        path = MODULES.get(".".join(parts[:length]))
        if path is None:
            continue
        if length == len(parts):
            return True
        defined = {
            getattr(node, "name", getattr(node, "id", getattr(node, "asname", None)))
            for node in ast.walk(ast.parse(path.read_text()))
        }
        return parts[length] in defined
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        file, _, fragment = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), target
        assert not fragment or fragment in headings(path), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_modules_and_names_exist(page: Path) -> None:
    text = page.read_text()
    if page.name == "CHANGELOG.md":  # old names stand before new ones
        text = "\n".join(re.findall(r"\| (`[^`]*`) \|$", text, re.M))
    names = set(re.findall(r"(?:`|-m |import |from )(safebo(?:\.\w+)+)", text))
    for stem, ends in re.findall(r"(safebo(?:\.\w+)+)\.\{([\w,]+)\}", text):
        names |= {f"{stem}.{end}" for end in ends.split(",")}
    entry_points = {
        "safebo.evaluators",
        "safebo.studies",
        "safebo.commands",
        "safebo.bridges",
        "safebo.kernels",
        "safebo.controllers",
        "safebo.tasks",
    }
    assert {name for name in names - entry_points if not is_there(name)} == set()


def test_a_name_that_is_not_there_is_seen() -> None:
    assert is_there("safebo.types.Trial")
    assert not is_there("safebo.types.Trail")
    assert not is_there("safebo.tunr")
