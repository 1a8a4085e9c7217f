"""The page on what to cite, and CITATION.cff, from the methods' table and `safebo.study.papers`."""

from __future__ import annotations

import json

import safebo
from safebo.study.methods import BUILT_IN, METHODS
from safebo.study.papers import PAPERS, PART_PAPERS, Paper, papers_of

PAGE = """\
# How to cite

<!-- written by `python -m safebo.experiments.site` from safebo/study/papers.py and the methods' table -->

Cite safebo with its version, and the papers of what you ran: those of the method, and of the parts beside it that you
chose. Both are also in [CITATION.cff](../CITATION.cff).

## By method

{methods}

What has no paper here is ours or nobody's: safebo is cited for it.

## By part

{parts}

## BibTeX

```bibtex
{entries}
```
"""

CFF = """\
# Written by `python -m safebo.experiments.site` from safebo/study/papers.py.
cff-version: 1.2.0
message: "If you use safebo, please cite it and the papers whose methods you ran."
title: "safebo: safe Bayesian optimization of legged-robot controllers"
type: software
version: {version}
date-released: {released}
license: Apache-2.0
authors:
  - name: "The safebo maintainers"
references:
{references}
"""

RELEASED = "2026-11-30"
"""Day of the version."""

_BIBTEX = {"conference-paper": "inproceedings", "article": "article", "preprint": "misc"}
_VENUE = {"conference-paper": "booktitle", "article": "journal", "preprint": "howpublished"}
_CFF_VENUE = {"conference-paper": "conference", "article": "journal", "preprint": "notes"}
_KIND = {"conference-paper": "conference-paper", "article": "article", "preprint": "unpublished"}


def citing_page() -> str:
    """The page, in Markdown.

    Raises:
        StudyError: a method of safebo without an entry.
    """
    methods = [name for name in METHODS if name in BUILT_IN]
    rows = [(f"`{name}`", "; ".join(map(named, papers_of(name))) or "–") for name in methods]
    parts = [(part, "; ".join(named(PAPERS[key]) for key in keys)) for part, keys in PART_PAPERS.items()]
    entries = [_software(), *(bibtex(key, paper) for key, paper in PAPERS.items())]
    return PAGE.format(
        methods=_table("method", rows), parts=_table("part", parts), entries="\n\n".join(entries)
    )


def named(paper: Paper) -> str:
    """As in a list of references: authors, title, venue, year."""
    families = [author.partition(",")[0] for author in paper.authors]
    who = families[0] if len(families) == 1 else f"{', '.join(families[:-1])} and {families[-1]}"
    return f"{who}, *{paper.title}*, {paper.venue}, {paper.year}"


def bibtex(key: str, paper: Paper) -> str:
    """An entry of a bibliography."""
    fields = {
        "title": f"{{{paper.title}}}",
        "author": " and ".join(paper.authors),
        _VENUE[paper.kind]: paper.venue,
        "year": str(paper.year),
    }
    lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    return f"@{_BIBTEX[paper.kind]}{{{key},\n{lines}\n}}"


def citation_file() -> str:
    """CITATION.cff."""
    references = "\n".join(map(_reference, PAPERS.values()))
    return CFF.format(version=safebo.__version__, released=RELEASED, references=references)


def _software() -> str:
    return (
        "@software{safebo,\n  title = {{safebo: safe Bayesian optimization of legged-robot controllers}},\n"
        f"  author = {{{{The safebo maintainers}}}},\n  version = {{{safebo.__version__}}},\n"
        f"  year = {{{RELEASED[:4]}}}\n}}"
    )


def _reference(paper: Paper) -> str:
    names = [author.partition(", ") for author in paper.authors]
    lines = [f"  - type: {_KIND[paper.kind]}", f"    title: {_quoted(paper.title)}", "    authors:"]
    lines += [
        f"      - {{family-names: {_quoted(family)}, given-names: {_quoted(given)}}}"
        for family, _, given in names
    ]
    venue = f"{_CFF_VENUE[paper.kind]}: " + _quoted(paper.venue)
    if paper.kind == "conference-paper":
        venue = f"conference: {{name: {_quoted(paper.venue)}}}"
    return "\n".join([*lines, f"    {venue}", f"    year: {paper.year}"])


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _table(first: str, rows: list[tuple[str, str]]) -> str:
    return "\n".join([f"| {first} | cite |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)])
