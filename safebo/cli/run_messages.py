"""What `safebo tune` says of a run when it ends: certified gains, findings, what was unsafe."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from safebo.text.command import say
from safebo.text.counted import counted

if TYPE_CHECKING:
    from safebo.runs.result import RunResult
    from safebo.study import Study


def say_result(result: RunResult, study: Study, name: str, again: str) -> None:
    """What a run that ended has come to, and what to do next.

    Args:
        result: of the run.
        study: its study.
        name: how the study was named in the command.
        again: the command's arguments that go on with the run.
    """
    done = f"{counted(result.told, 'trial')} {'is' if result.told == 1 else 'are'}"
    say(f"{done} done, in {result.folder}.")
    if result.left:
        say(f"{result.left} Go on with: safebo tune {again}")
    _say_what_was_unsafe(result.unsafe, name)
    say_what_remains(study, result.folder, advice=False)
    _say_findings(result.folder)
    say(f"Next: safebo report {shlex.quote(str(result.folder))}")


def say_what_remains(
    study: Study, folder: Path, error: bool = False, quiet: bool = False, advice: bool = True
) -> None:
    """Where the run's certified gains are, with the run's advice; that there are none is not said when `quiet`."""
    from safebo.runs.best_gains import read_best_gains, written_by_run
    from safebo.runs.recommendation import best_file
    from safebo.study.checks import tuned_contexts

    found = False
    for name in tuned_contexts(study):
        path = best_file(folder, name, study)
        if not written_by_run(path, study.name, name):
            continue
        best, found = read_best_gains(path), True
        unit = f" {best.objective_unit}" if best.objective_unit else ""
        say(
            f"{'Certified gains' if best.certified else best.kind.capitalize()} for context {name}: {path} "
            f"({best.objective_name} at least {best.objective.lower:.4g}{unit}, "
            f"expected {best.objective.mean:.4g}{', ' if best.holds else ''}{best.holds})",
            error,
        )
        if validity := best.validity():
            say(f"{validity[0].upper()}{validity[1:]}.", error)
        if best.advice and advice:
            say(best.advice, error)
    if not found and folder.is_dir() and not quiet:
        say("No gains are certified yet.", error)


def _say_what_was_unsafe(trials: Sequence[int], study: str) -> None:
    """That certified trials were not safe, where there are some."""
    if not trials:
        return
    named = ", ".join(map(str, trials[:10])) + (", ..." if len(trials) > 10 else "")
    say(
        f"WARNING: {'trial' if len(trials) == 1 else f'{len(trials)} trials,'} {named}, certified and measured unsafe: "
        "the study's priors promise too much. Do not rely on certified gains before you know why: "
        f"safebo check {shlex.quote(study)}",
        error=True,
    )


def _say_findings(folder: Path) -> None:
    """What the run found, how sure that is, and what limits it most."""
    from safebo.report.findings import findings, shortened, view_of
    from safebo.storage.journal import Journal

    with Journal.open(folder, read_only=True) as journal:
        found = findings(view_of(folder, journal))
    for one in shortened(found):
        say(f"{one.text} {one.remedy}".rstrip())
