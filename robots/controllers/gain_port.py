"""How gains get into a user's controller: all or none, and read back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

from safebo.robots.controllers.numbers import READ_BACK_TOLERANCE
from safebo.robots.controllers.protocol import GainPortError


class GainPort(Protocol):
    """Writes and reads the gains of one controller. Both may take seconds; they run beside the control loop.

    Attributes:
        restarts: writing starts the controller anew, as things are now.
    """

    @property
    def restarts(self) -> bool:
        """See above."""
        ...

    def write(self, gains: Mapping[str, float]) -> None:
        """Write all gains, by name.

        Raises:
            GainPortError: some or all were not taken; what the controller holds is not known then.
        """
        ...

    def read(self) -> dict[str, float]:
        """All gains as the controller holds them.

        Raises:
            GainPortError: they cannot be read.
        """
        ...


def write_and_read_back(port: GainPort, gains: Mapping[str, float]) -> str:
    """Write a full set of gains and read all of it back; what is wrong, or empty.

    Whatever an adapter raises is an answer too: it runs where nobody could catch it.
    """
    try:
        port.write(gains)
        held = port.read()
    except GainPortError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    for name, value in gains.items():
        if name not in held:
            return f"{name} cannot be read back"
        if not math.isclose(held[name], value, rel_tol=READ_BACK_TOLERANCE, abs_tol=1e-12):
            return f"{name} reads {held[name]!r} after {value!r} was written"
    return ""
