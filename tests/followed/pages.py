"""Which pages are followed."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"

PAGES = [*sorted((DOCS / "tutorials").glob("*.md"))]
"""All tutorials."""
