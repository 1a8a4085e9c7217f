"""A griffe extension: what stands under `Example:` in a docstring is shown as the session that it is."""

from __future__ import annotations

from typing import Any

import griffe


class Examples(griffe.Extension):
    """To griffe a section of doctests is called `Examples`; any other word begins a quotation."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rename the section."""
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
