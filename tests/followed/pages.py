"""Which pages are followed."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"

TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
PAGES = [DOCS / "start.md", *sorted((DOCS / "how-to").glob("*.md")), *TUTORIALS]
"""The first page, the how-to pages with commands to type, and all tutorials."""
