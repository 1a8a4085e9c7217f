"""One version everywhere, and a paper for every method."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import safebo
from safebo.errors import StudyError
from safebo.study.methods import BUILT_IN
from safebo.study.papers import METHOD_PAPERS, PAPERS, PART_PAPERS, papers_of

ROOT = Path(__file__).parents[1]


def test_package_citation_and_changelog_name_one_version_and_day() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]  # a second copy would have to agree
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "safebo.__version__"}
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert headings[0] == "Unreleased"
    assert headings[1] == f"{safebo.__version__} ({cited['date-released']})"
    assert cited["version"] == safebo.__version__
    assert f"safebo-{safebo.__version__}-py3" in (ROOT / "Containerfile").read_text()


def test_every_method_has_its_papers_or_is_our_own() -> None:
    assert set(METHOD_PAPERS) == BUILT_IN
    for name in BUILT_IN:
        papers_of(name)
    with pytest.raises(StudyError, match="'brand_new' has no papers"):
        papers_of("brand_new")
    used = {key for keys in (*METHOD_PAPERS.values(), *PART_PAPERS.values()) for key in keys}
    assert used == set(PAPERS)
    assert {name for name, keys in METHOD_PAPERS.items() if not keys} == {"random", "random_safe"}


def test_the_citation_file_has_every_paper_with_its_authors() -> None:
    references = yaml.safe_load((ROOT / "CITATION.cff").read_text())["references"]
    shown = {
        r["title"]: tuple(f"{a['family-names']}, {a['given-names']}" for a in r["authors"])
        for r in references
    }
    assert shown == {paper.title: paper.authors for paper in PAPERS.values()}
