"""A mapping from a user's file, read key by key, with errors that say file, key, value and what is allowed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NoReturn

from safebo.robots.controllers.protocol import ControllerInputError


class Section:
    """One mapping of a file.

    Args:
        path: of the file.
        where: the keys that lead here, joined by dots; empty for the whole.
        data: what is there.

    Raises:
        ControllerInputError: it is no mapping of texts to anything.
    """

    def __init__(self, path: Path, where: str, data: Any) -> None:
        self.path, self.where = path, where
        if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
            raise self.error("", f"expected a mapping of names, got {data!r}")
        self.data: dict[str, Any] = data
        self._read: set[str] = set()

    def error(self, key: str, message: str) -> ControllerInputError:
        """An error about a key of this section, or about all of it."""
        place = ".".join(part for part in (self.where, key) if part)
        return ControllerInputError(": ".join(part for part in (str(self.path), place, message) if part))

    def refuse(self, key: str, value: Any, allowed: str) -> NoReturn:
        """Say that a value is not what is allowed."""
        raise self.error(key, f"{value!r} is not allowed; expected {allowed}")

    def section(self, key: str) -> Section:
        """The mapping at a key."""
        place = ".".join(part for part in (self.where, key) if part)
        return Section(self.path, place, self._get(key))

    def text(self, key: str, default: str | None = None, empty: bool = False) -> str:
        """A text."""
        value = self._get(key, default)
        if not isinstance(value, str) or not (value or empty):
            self.refuse(key, value, "a text")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, at least one."""
        value = self._get(key)
        if not isinstance(value, list) or not value or not all(isinstance(word, str) for word in value):
            self.refuse(key, value, "a list of texts, such as [systemctl, --user, restart, my_controller]")
        return tuple(value)

    def list_of(self, key: str) -> list[Any]:
        """A list, of anything, with one entry at least."""
        value = self._get(key)
        if not isinstance(value, list) or not value:
            self.refuse(key, value, "a list")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            self.refuse(key, value, "true or false")
        return value

    def number(
        self, key: str, least: float = -math.inf, most: float = math.inf, default: float | None = None
    ) -> float:
        """A finite number between two others."""
        value = self._get(key, default)
        if isinstance(value, str):  # YAML 1.1 takes 1e-3 for a text
            try:
                value = float(value)
            except ValueError:
                self.refuse(key, value, "a number")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self.refuse(key, value, "a finite number")
        if not least <= value <= most:
            self.refuse(key, value, f"a number from {least:g} to {most:g}")
        return float(value)

    def over(self) -> None:
        """Refuse what nobody asked for."""
        unknown = sorted(set(self.data) - self._read)
        if unknown:
            raise self.error(unknown[0], f"unknown key; known are {', '.join(sorted(self._read))}")

    def _get(self, key: str, default: Any = None) -> Any:
        self._read.add(key)
        if key not in self.data:
            if default is None:
                raise self.error(key, "is missing")
            return default
        return self.data[key]
