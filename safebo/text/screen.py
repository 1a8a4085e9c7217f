"""rich's console for text of others: taken literally, and never as markup, emoji codes or control characters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from safebo.text.printable import printable


class Screen(Console):
    """A console that shows every text as it is written. What is styled is a `rich.text.Text`.

    Args:
        options: of rich's `Console`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """A text as rich draws it; its width in a table is that of what is seen."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Everything that is drawn comes through here."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))

    def on_broken_pipe(self) -> None:
        """Whoever read has gone: that ends a command as any other error does."""
        raise BrokenPipeError("nobody reads the output any more")


def literal(text: str, style: str = "") -> Text:
    """A text as it is written, on any console of rich's."""
    return Text(printable(text), style)
