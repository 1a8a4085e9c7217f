"""A user's YAML file, read with errors that name it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from safebo.hardware.errors import HardwareInputError


class UniqueKeys(yaml.SafeLoader):
    """A key that is there twice is a mistake, not a choice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping at a node."""
        seen: set[Any] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """What a file holds.

    Raises:
        HardwareInputError: it cannot be read, or is no YAML.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), loader)
    except OSError as error:
        raise HardwareInputError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise HardwareInputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
