"""Options that several commands share, declared once as a record."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

_Record = TypeVar("_Record")


def with_options(record: type[_Record]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a typer command of a function whose first argument is a dataclass: its fields become options.

    Args:
        record: a dataclass whose fields are annotated as typer's options are, each with a default.
    """
    hints = get_type_hints(record, include_extras=True)
    names = [field.name for field in fields(record)]  # type: ignore[arg-type]
    keyword = inspect.Parameter.KEYWORD_ONLY

    def wrap(command: Callable[..., None]) -> Callable[..., None]:
        def run(**given: Any) -> None:
            command(record(**{name: given.pop(name) for name in names}), **given)

        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        shared = [
            inspect.Parameter(name, keyword, default=getattr(record, name), annotation=hints[name])
            for name in names
        ]
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__annotations__ = {p.name: p.annotation for p in (*own, *shared)}
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [*(p.replace(kind=keyword) for p in own), *shared]
        )
        return run

    return wrap
