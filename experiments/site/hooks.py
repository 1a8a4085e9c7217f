"""mkdocs' hooks: links from pages to files of the repository lead to pages of the site that show those files.

On a disk and in a repository's viewer `[gait.py](../robots/quadruped/gait.py)` opens the file. The site has no such
file, so the build adds a page that shows it, under `files/`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, InclusionLevel

from safebo.experiments.site.diagrams import in_html

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"
AS_THEY_ARE = {".md", ".png", ".jpg", ".json"}
"""Kinds of files under docs/ that the site has as they are."""

IN_THE_MENU = (ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md")
"""Files outside docs/ that mkdocs.yml names."""

LINK = re.compile(r"(?<=\]\()([^)\s#]+)(?=(?:#[^)\s]*)?\))")
CODE = re.compile(r"(````.*?````|```.*?```|`[^`\n]+`)", re.S)
LANGUAGES = {
    ".py": "python",
    ".pyi": "python",
    ".yaml": "yaml",
    ".cpp": "cpp",
    ".hpp": "cpp",
    ".html": "html",
}
FRONT = "---\nhide: [toc]\nsearch: {exclude: true}\n---\n"


def on_files(files: Any, config: Any) -> Any:
    """Add a page for every file of the repository that a page links to, and for those that they link to."""
    wanted = set(IN_THE_MENU)
    for file in list(files):
        if file.src_uri.endswith(".md") and not file.src_uri.startswith("examples/"):
            wanted |= _linked(file.content_string, DOCS / file.src_uri)
    made: set[Path] = set()
    while wanted - made:
        path = (wanted - made).pop()
        made.add(path)
        text = _text(path)
        wanted |= _linked(text, path)
        files.append(
            File.generated(
                config,
                uri(path),
                content=_rewritten(text, path, uri(path)),
                inclusion=InclusionLevel.NOT_IN_NAV,
            )
        )
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A page's links to files of the repository, turned to the pages that show them; its flowcharts drawn."""
    if page.file.generated_by:
        return markdown
    markdown = in_html(markdown)
    return _rewritten(markdown, DOCS / page.file.src_uri, page.file.src_uri)


def uri(path: Path) -> str:
    """Where the page of a file of the repository stands."""
    name = path.relative_to(ROOT).as_posix()
    return f"files/{name}" if path.suffix == ".md" else f"files/{name}.md"


def _shown(link: str, page: Path) -> Path | None:
    """The file of the repository that a link of a page means, where the site needs a page for it."""
    path = Path(os.path.normpath(page.parent / link))
    if "://" in link or not path.exists() or not path.is_relative_to(ROOT):
        return None  # a broken link: mkdocs says so
    inside = path.is_relative_to(DOCS) and not path.is_relative_to(EXAMPLES)
    return None if inside and path.suffix in AS_THEY_ARE else path


def _linked(text: str, page: Path) -> set[Path]:
    """All files that a page's text wants shown."""
    prose = "".join(CODE.split(text)[::2])
    return {path for link in LINK.findall(prose) if (path := _shown(link, page))}


def _rewritten(text: str, page: Path, at: str) -> str:
    """A page's text with links that hold in the site.

    Args:
        text: in Markdown.
        page: the file it is, whose folder its links start from.
        at: where the page stands in the site, as a source.
    """

    def turned(link: re.Match[str]) -> str:
        path = _shown(link[0], page)
        if path is None:
            if "://" in link[0] or page.is_relative_to(DOCS):
                return link[0]
            path = Path(os.path.normpath(page.parent / link[0]))  # from outside docs/ to one of its pages
            target = path.relative_to(DOCS).as_posix() if path.is_relative_to(DOCS) else link[0]
        else:
            target = uri(path)
        return os.path.relpath(target, os.path.dirname(at))

    parts = CODE.split(text)
    parts[::2] = [LINK.sub(turned, part) for part in parts[::2]]
    return "".join(parts)


def _text(path: Path) -> str:
    """A file or folder as Markdown, whose links start from the file itself."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    name = path.relative_to(ROOT).as_posix()
    if path.is_dir():
        names = sorted(p.name for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        # A folder's links start from its parent, as those of a file do.
        return f"{FRONT}# `{name}/`\n\n" + "".join(f"- [{n}]({path.name}/{n})\n" for n in names)
    code = path.read_text(encoding="utf-8").rstrip()
    return f"{FRONT}# `{name}`\n\n````{LANGUAGES.get(path.suffix, 'text')}\n{code}\n````\n"
