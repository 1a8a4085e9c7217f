"""The streams of a command: whatever is at their other end, printing never ends it with a traceback."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings

from safebo.text.printable import printable


def say(text: str, error: bool = False) -> None:
    """Print a text for people, at once."""
    print(printable(text), file=sys.stderr if error else sys.stdout, flush=True)


def say_if_heard(text: str) -> None:
    """The same in a process that goes on when whoever read its output has gone, as one beside a robot must."""
    try:
        say(text)
    except OSError:
        lead_nowhere()


def lead_nowhere() -> None:
    """Nobody reads what is printed from now on, nor what waits to be printed; printing it cannot fail any more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def ready_streams() -> None:
    """Make what is printed arrive as well as it can.

    Where a stream is closed, as after `>&-`, what would go there goes nowhere, and no file that is opened later takes
    its place. Characters that a terminal's encoding lacks are written out.
    """
    with contextlib.suppress(OSError):
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(descriptor, True)
        os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for the process's life
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def calm_warnings() -> None:
    """Warnings of libraries inform where somebody asks for them; `-W error` must not turn one into a failure."""
    if any(action == "error" for action, *_ in warnings.filters):
        warnings.simplefilter("default")
