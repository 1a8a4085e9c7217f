"""How every page is made from its template: what people named and what robots said is shown, and does nothing else."""

from __future__ import annotations

from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from safebo.text.printable import printable


def page_environment(*packages: str) -> Environment:
    """Templates of these packages; values are escaped as HTML, and characters that are not seen are written out.

    Args:
        packages: names, the first goes before the others.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, ".") for package in packages]),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["commands"] = with_commands
    return environment


def with_commands(text: str) -> Markup:
    """A sentence as HTML, with what stands between backticks, commands and keys, as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # one without its partner
        return Markup("{}").format(printable(text))
    shown = (
        Markup("<code>{}</code>" if i % 2 else "{}").format(printable(part)) for i, part in enumerate(parts)
    )
    return Markup("").join(shown)


def _shown(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
