"""What was typed before a question stood answers nothing."""

from __future__ import annotations

import array
import fcntl
import os
import sys
import termios

TYPED_AHEAD = "What was typed before this question is not taken for an answer to it."


def drop_typed_ahead() -> bool:
    """Forget what was typed at the terminal and not read yet; a file or pipe on standard input is left as it is.

    Whoever presses return a second time while a robot walks must not approve its next trial unseen.

    Returns:
        Whether a whole line was forgotten.
    """
    try:
        number = sys.stdin.fileno()
    except (AttributeError, ValueError, OSError):  # none, closed, or no file
        return False
    if not os.isatty(number):
        return False
    waiting = array.array("i", [0])
    fcntl.ioctl(number, termios.FIONREAD, waiting)
    termios.tcflush(number, termios.TCIFLUSH)
    return waiting[0] > 0
