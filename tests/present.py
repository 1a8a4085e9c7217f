"""What a test knows to be there although its type allows that it is not."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def present(value: T | None) -> T:
    """`value`, which must not be None."""
    assert value is not None
    return value
