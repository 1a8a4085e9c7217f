"""Write the reference pages that the program itself knows: `python -m safebo.experiments.site`.

Each says in a comment where it comes from; a test compares them with what is written here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safebo.experiments.site.citing import citation_file, citing_page
from safebo.experiments.site.commands import commands_page
from safebo.experiments.site.examples import examples_page
from safebo.experiments.site.limits import limits_page
from safebo.experiments.site.python import python_page

DOCS = Path(__file__).resolve().parents[2] / "docs"

PAGES: dict[str, Callable[[], str]] = {
    "../CITATION.cff": citation_file,
    "citing.md": citing_page,
    "command-line.md": commands_page,
    "examples.md": examples_page,
    "guardian-limits.md": limits_page,
    "python.md": python_page,
}
"""Files, from docs/, and what writes them. The study file's page is `safebo schema --page`'s."""


def main() -> None:
    """Write all of them."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
        print(DOCS / name)


if __name__ == "__main__":
    main()
