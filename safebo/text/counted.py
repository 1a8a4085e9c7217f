"""A number of things in a sentence."""

from __future__ import annotations


def counted(n: int, noun: str) -> str:
    """`1 run`, `2 runs`: the number with its noun, to which an s is added for any number but one."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
