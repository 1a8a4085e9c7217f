"""What a person sees of a run: a progress bar on a terminal, one plain line per trial elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from safebo.evaluators.outcome import margins_of, was_unsafe, what_happened
from safebo.storage.records import Record, RunInfo
from safebo.study import Study
from safebo.study.preference_checks import prefers
from safebo.text.printable import one_line
from safebo.text.screen import literal
from safebo.types import Measurement, Trial


class Progress(Protocol):
    """Is told what happens in a run."""

    def begin(self, run: RunInfo, done: Sequence[Record]) -> None:
        """The run starts or goes on; `done` are the trials told so far."""

    def asked(self, trial: Trial) -> None:
        """A trial is about to run."""

    def told(self, trial: Trial, measurement: Measurement) -> None:
        """A trial has been measured and recorded."""

    def note(self, text: str) -> None:
        """Something a person should know."""

    def asking(self) -> AbstractContextManager[None]:
        """While a person is asked, nothing else is drawn where the question stands."""
        ...

    def end(self) -> None:
        """No more trials in this process. May be called twice."""


class Silent:
    """Says nothing."""

    def begin(self, run: RunInfo, done: Sequence[Record]) -> None:
        """Nothing."""

    def asked(self, trial: Trial) -> None:
        """Nothing."""

    def told(self, trial: Trial, measurement: Measurement) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def asking(self) -> AbstractContextManager[None]:
        """Nothing is drawn anyway."""
        return nullcontext()

    def end(self) -> None:
        """Nothing."""


class Tally:
    """Running figures of a run: trials, falls, and the best safe objective seen in each context."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self.count = 0
        self.falls = 0
        self.best: dict[str, float] = {}

    def add(self, trial: Trial, measurement: Measurement) -> None:
        """Count one trial."""
        self.count += 1
        self.falls += measurement.fell
        lowest = smallest_margin(self._study, measurement)
        safe = lowest[1] >= 0 if lowest is not None else not self._study.constraints
        if measurement.outcome == "completed" and safe and measurement.objective is not None:
            name = trial.context_name
            self.best[name] = max(self.best.get(name, measurement.objective), measurement.objective)


def smallest_margin(study: Study, measurement: Measurement) -> tuple[str, float] | None:
    """The constraint nearest to its limit, or beyond it, and its margin; None where there is none."""
    margins: Mapping[str, float] = margins_of(study, measurement)
    if not margins:
        return None
    name = min(margins, key=lambda key: margins[key])
    return name, margins[name]


def trial_line(study: Study, tally: Tally, trial: Trial, measurement: Measurement) -> str:
    """One trial in one line."""
    parts = [f"{trial.phase:<6}"]
    if len(study.context.values) > 1:
        parts.append(trial.context_name)
    if measurement.objective is not None:
        parts.append(f"{study.objective.name} {measurement.objective:.4g}")
    best = tally.best.get(trial.context_name)
    if not prefers(study):
        parts.append(f"best {best:.4g}" if best is not None else "best none yet")
    lowest = smallest_margin(study, measurement)
    if lowest is not None:
        parts.append(f"margin {lowest[1]:+.3g} ({lowest[0]})")
    if was_unsafe(measurement, study):
        parts.append("UNSAFE")
    if measurement.outcome != "completed":
        parts.append(measurement.outcome.upper())
    return one_line("  ".join(parts + what_happened(measurement)))


class PlainLines:
    """One line per trial, for files and pipes.

    Args:
        console: where the lines go.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._first = 0

    def begin(self, run: RunInfo, done: Sequence[Record]) -> None:
        """Say where the run stands."""
        self._run, self._tally = run, Tally(run.study)
        for record in done:
            if record.measurement is not None:
                self._tally.add(record.trial, record.measurement)
        self._first, self._began = self._tally.count, time.monotonic()

    def asked(self, trial: Trial) -> None:
        """Nothing: the line comes with the result."""

    def told(self, trial: Trial, measurement: Measurement) -> None:
        """Print the trial's line."""
        self._tally.add(trial, measurement)
        line = trial_line(self._run.study, self._tally, trial, measurement)
        self._say(f"trial {trial.id:>3}/{self._run.trials}  {line}  {self._left()}")

    def note(self, text: str) -> None:
        """Print the text."""
        self._say(text)

    def asking(self) -> AbstractContextManager[None]:
        """Lines come one after the other: a question is one more."""
        return nullcontext()

    def end(self) -> None:
        """Nothing."""

    def _left(self) -> str:
        done = self._tally.count - self._first
        seconds = (time.monotonic() - self._began) / done * (self._run.trials - self._tally.count)
        minutes, rest = divmod(round(max(seconds, 0.0)), 60)
        return f"ETA {minutes}:{rest:02d}"

    def _say(self, text: str) -> None:
        self._console.print(literal(text), soft_wrap=True)


class Bar:
    """A progress bar with the figures of the last trial; notable trials stay above it as lines.

    Args:
        console: the terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = RichProgress(
            TextColumn("{task.fields[name]}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=console,
            transient=False,
        )
        self._running = False

    def begin(self, run: RunInfo, done: Sequence[Record]) -> None:
        """Draw the bar."""
        self._run, self._tally = run, Tally(run.study)
        for record in done:
            if record.measurement is not None:
                self._tally.add(record.trial, record.measurement)
        self._task = self._bar.add_task(
            "", name=one_line(run.name), total=run.trials, completed=self._tally.count
        )
        self._bar.start()
        self._running = True

    def asked(self, trial: Trial) -> None:
        """Name the trial that runs, when nothing has been measured yet."""
        if self._tally.count == 0:
            self._bar.update(self._task, description=f"trial {trial.id} {trial.phase} runs")

    def told(self, trial: Trial, measurement: Measurement) -> None:
        """Move on; keep a line of what a person should not miss."""
        self._tally.add(trial, measurement)
        line = trial_line(self._run.study, self._tally, trial, measurement)
        self._bar.update(self._task, advance=1, description=line)
        if measurement.outcome != "completed" or was_unsafe(measurement, self._run.study):
            self._console.print(literal(f"trial {trial.id:>3}  {line}"))

    def note(self, text: str) -> None:
        """Print the text above the bar."""
        self._console.print(literal(text))

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Take the bar away: drawn anew several times a second, it would wipe the question and what is typed."""
        if not self._running:
            yield
            return
        self._bar.live.transient = True
        self._bar.stop()
        self._running = False
        try:
            yield
        finally:
            self._bar.live.transient = False
            self._bar.start()
            self._running = True

    def end(self) -> None:
        """Leave the bar as it is."""
        if self._running:
            self._bar.stop()
            self._running = False


def progress_for(console: Console) -> Progress:
    """A bar on a terminal, plain lines elsewhere."""
    return Bar(console) if console.is_terminal else PlainLines(console)
