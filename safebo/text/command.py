"""A command line from its start to its exit code, and its streams: whatever is at their other end, no traceback."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from safebo.text.printable import printable

if TYPE_CHECKING:
    import typer


INTERRUPTED = 130  # the exit code of a command that Ctrl-C ended: 128 + SIGINT, as shells have it

_folder: Path | None = None
"""See `keep_details_in`."""


def program(**more: Any) -> typer.Typer:
    """The commands of a program, to which they are added; `more` are arguments of `typer.Typer`."""
    import typer  # not by the workers and programs that only print

    return typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
        **more,
    )


def run_command(
    app: typer.Typer,
    arguments: list[str] | None,
    expected: type[Exception],
) -> NoReturn:
    """Run a command line and end the process with its exit code; people read sentences, whatever happens.

    The details of an error that is not expected are kept in a file; see `keep_details_in`.

    Args:
        app: its commands.
        arguments: None for those of the process.
        expected: errors whose text is the whole message; an `exit_code` of theirs is the process's.
    """
    global _folder
    _folder = None

    import typer  # not by the workers and programs that only print

    # What typer raises for a command line that it cannot read; it exports only some of the kinds.
    usage_error: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
    ready_streams()
    calm_warnings()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    text = ""
    try:
        command = typer.main.get_command(app)
        command.invoke = _naming_interrupts(command.invoke)  # type: ignore[method-assign]
        ended = command(arguments, standalone_mode=False)
        code = ended if isinstance(ended, int) else 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except usage_error as error:
        error.message = printable(error.message)
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, _Interrupted):
        text, code = "stopped by Ctrl-C", INTERRUPTED
    except typer.Abort:  # Ctrl-C or the end of the input
        text, code = "stopped at a question that was not answered", INTERRUPTED
    except BrokenPipeError:
        code = 1
    except expected as error:
        text, code = f"error: {error}", getattr(error, "exit_code", 1)
    except Exception as error:
        text, code = _unexpected(error), 1
    # What waits in the stream is written now: at the interpreter's end an error would be a traceback.
    try:
        sys.stdout.flush()
    except OSError as error:
        lead_nowhere()
        if not isinstance(error, BrokenPipeError):
            text = text or f"error: the output cannot be written: {error.strerror or error}"
        code = code or 1
    with contextlib.suppress(OSError):  # nobody is left who could be told
        if text:
            say(text, error=True)
    sys.exit(code)


class _Interrupted(Exception):
    """Ctrl-C, under a name that typer does not turn into an exit without a word."""


def _naming_interrupts(invoke: Callable[..., Any]) -> Callable[..., Any]:
    def invoked(*arguments: Any, **options: Any) -> Any:
        try:
            return invoke(*arguments, **options)
        except KeyboardInterrupt as error:
            raise _Interrupted from error

    return invoked


def keep_details_in(folder: Path) -> None:
    """Name the folder where the running command keeps the details of an unexpected error; else a temporary one."""
    global _folder
    _folder = folder


def _unexpected(error: Exception) -> str:
    log = _keep_details(_folder)
    if isinstance(error, OSError) and error.strerror:
        # The machine's fault rather than ours: a full disk, a folder that may not be written.
        place = f"{error.filename}: " if error.filename else ""
        return f"error: {place}{error.strerror}. Details: {log}"
    if isinstance(error, UnicodeEncodeError) and error.encoding == sys.getfilesystemencoding():
        return (
            f"error: this system's names of files are {error.encoding} and cannot hold {error.object!r}; set a locale "
            f"that can, for example LC_ALL=C.UTF-8. Details: {log}"
        )
    return f"internal error: {type(error).__name__}: {' '.join(str(error).split())}. Details: {log}"


def _keep_details(folder: Path | None) -> str:
    """Write the traceback of the error being handled to a file of the folder, or a temporary one; returns where."""
    text = "\n".join(_shortened(line, 300) for line in traceback.format_exc(limit=-40).splitlines())
    places = [folder] if folder is not None and folder.is_dir() else []
    for place in [*places, Path(tempfile.gettempdir())]:
        try:
            # Readable by its owner alone: an error's text may quote what a study holds.
            descriptor, name = tempfile.mkstemp(prefix="safebo-error-", suffix=".log", dir=place)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(_shortened(printable(text), 30_000) + "\n")
        except OSError:
            continue
        return str(place / Path(name).name)
    return "nowhere, no folder could be written"


def _shortened(text: str, limit: int) -> str:
    """A text with its middle left out where it is longer: an error may quote a whole mesh."""
    half = limit // 2
    return (
        text
        if len(text) <= limit
        else f"{text[:half]} [... {len(text) - 2 * half} characters ...] {text[-half:]}"
    )


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
