"""What a report shows: plain data, read once, so that every picture is a pure function of it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from safebo.evaluators.outcome import margin_of
from safebo.models.interval_split import IntervalSplit
from safebo.runs.best_gains import BestGains
from safebo.storage.records import Event
from safebo.study import FunctionSpec, Study
from safebo.study.reading import is_shipped
from safebo.types import TrialRecord

if TYPE_CHECKING:
    from safebo.tuner.tolerance import Tolerances  # with torch, which `safebo show` needs not

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Band:
    """Confidence bounds of one function at n points, in its own unit; each array has n values."""

    lower: FloatArray
    mean: FloatArray
    upper: FloatArray


@dataclass(frozen=True)
class Line:
    """All functions along one parameter, the others held at the anchor.

    Args:
        parameter: name of the parameter that varies.
        values: its values, `n`, in its own unit.
        bands: confidence bounds by function name.
        safe: whether every constraint's lower bound is >= 0, `n`.
    """

    parameter: str
    values: FloatArray
    bands: Mapping[str, Band]
    safe: NDArray[np.bool_]


@dataclass(frozen=True)
class Plane:
    """A slice over two parameters, the others held at the anchor.

    Args:
        horizontal: name of the parameter along x.
        vertical: name of the parameter along y.
        x: values of the first, `n`.
        y: values of the second, `m`.
        safety: smallest lower bound over the constraints on their modelled scales, `m x n`; safe when >= 0.
        objective: mean of the objective in its own unit, `m x n`.
    """

    horizontal: str
    vertical: str
    x: FloatArray
    y: FloatArray
    safety: FloatArray
    objective: FloatArray


@dataclass(frozen=True)
class Slices:
    """Slices of the surrogate through one point.

    Args:
        anchor: the point, in parameter units.
        anchor_kind: `best certified gains`, `predicted gains` or `seed gains`.
        lines: one per parameter that is a number.
        planes: one per pair of the parameters in `plane_parameters`.
        plane_parameters: the parameters of the planes: all, or the most relevant ones where there are many.
    """

    anchor: Mapping[str, Any]
    anchor_kind: str
    lines: tuple[Line, ...]
    planes: tuple[Plane, ...]
    plane_parameters: tuple[str, ...]


@dataclass(frozen=True)
class Signal:
    """One recorded column and what it should have been, `n` samples each."""

    name: str
    unit: str
    actual: FloatArray
    desired: FloatArray

    @property
    def rms_error(self) -> float:
        """Root mean square of actual minus desired, in the signal's unit."""
        return float(np.sqrt(np.nanmean((self.actual - self.desired) ** 2)))


@dataclass(frozen=True)
class Recording:
    """Tracking in one trial: time in seconds (`n`) and the signals that have a desired partner."""

    trial: int
    time: FloatArray
    signals: tuple[Signal, ...]


@dataclass(frozen=True)
class PointIntervals:
    """What the intervals of all functions at one point consist of.

    Args:
        point: `best certified gains`, `seed gains` or the like.
        splits: of every function, the objective first.
    """

    point: str
    splits: tuple[IntervalSplit, ...]


@dataclass(frozen=True)
class ContextReport:
    """One context of the study.

    Args:
        name: its name.
        values: values of the context variables.
        tried: False for a context that the study only predicts.
        seed: the seed gains, when the study has them.
        best: recommended gains: certified where the context was tried, predicted otherwise; None when none.
        slices: slices through the best gains, or through the seed where there is no best.
        before: tracking with the seed gains.
        after: tracking in the recorded trial whose gains are nearest to the best.
        notes: sentences on what is missing and why.
        tracking_note: what the two recordings are, or why there is none.
        intervals: what the intervals at the best gains and at the seed consist of, as far as there are measurements.
        tolerances: how far each of the best gains may move alone; None where they are not certified.
    """

    name: str
    values: Mapping[str, float]
    tried: bool
    seed: Mapping[str, float] | None = None
    best: BestGains | None = None
    slices: Slices | None = None
    before: Recording | None = None
    after: Recording | None = None
    notes: tuple[str, ...] = ()
    tracking_note: str = ""
    intervals: tuple[PointIntervals, ...] = ()
    tolerances: Tolerances | None = None


@dataclass(frozen=True)
class Agreement:
    """One function as another run lets expect it, and as this one measured it, in its own unit.

    Args:
        function: its name.
        trials: of this run, `n`.
        expected: what the other run's trials let expect at their gains, `n`.
        measured: what they showed, `n`.
        correlation: of both on the modelled scale, in words.
    """

    function: str
    trials: tuple[int, ...]
    expected: tuple[float, ...]
    measured: tuple[float, ...]
    correlation: str


@dataclass(frozen=True)
class PriorStory:
    """What became of another run's trials that served as prior.

    Args:
        source: where they came from and how they were believed, as text.
        verdict: whether they still are, and why not, as text.
        dropped: whether they were dropped.
        agreements: of both runs, by function.
    """

    source: str
    verdict: str
    dropped: bool
    agreements: tuple[Agreement, ...]


@dataclass(frozen=True)
class Finding:
    """One sentence about a run.

    Args:
        topic: what it answers: what was found, how sure that is, what limits it, what to do next.
        kind: what it is about, one word or two, for programs.
        text: the sentence; of `next` what the command is for.
        remedy: of a limit, what to do about it.
        command: as it is typed; empty where there is none.
    """

    topic: Literal["found", "sure", "limits", "next"]
    kind: str
    text: str
    remedy: str = ""
    command: str = ""


@dataclass(frozen=True)
class RunView:
    """What the findings of a run rest on.

    Args:
        folder: of the run.
        source: where its study came from.
        study: as it ran.
        records: every trial in the order asked.
        events: of its journal, oldest first.
        best: certified gains by context that was tried; None where there are none.
        planned: its total number of trials.
        robot: whether its trials moved a robot.
    """

    folder: Path
    source: str
    study: Study
    records: Sequence[TrialRecord]
    events: Sequence[Event]
    best: Mapping[str, BestGains | None]
    planned: int
    robot: bool = False

    def of_context(self, name: str) -> list[TrialRecord]:
        """Its trials in a context."""
        return [e for e in self.records if e.trial.context_name == name]

    def where(self, context: str) -> str:
        """What a sentence about a context begins with: nothing where there is only one."""
        return f"{context}: " if len(self.best) > 1 else ""

    def command(self, kind: str, trials: int = 0) -> str:
        """A command about this run, as it is typed.

        Args:
            kind: `resume`, `continue`, `new`, `check` or `export`.
            trials: total number of trials, with `resume`; 0 for those planned.
        """
        here, study = shlex.quote(str(self.folder)), shlex.quote(self.source)
        shipped = is_shipped(self.source, self.study.name)
        copy = f"{self.study.name}.yaml"
        if shipped and kind in ("continue", "new"):  # what is changed is a copy, not the installed file
            first = f"cp {study} {shlex.quote(copy)}  # change it, then: "
            return first + replace(self, source=copy).command(kind, trials)
        if shipped:
            study = shlex.quote(self.study.name)
        if kind == "export":
            return f"safebo export {here}"
        in_python = self.source == f"study {self.study.name!r}"
        if in_python and kind == "check":
            return f"safebo show {here}"
        if in_python:
            more = f", trials={trials}" if trials else ""
            again = f", resume=True{more}" if kind == "resume" else ""
            out = str(self.folder) if kind == "resume" else f"{self.folder}-2"
            return f"safebo.run(study, {out!r}{again})"
        robot = " --robot HOST:PORT" if self.robot else ""
        after = shlex.quote(f"{self.folder}-2")
        return {
            "check": f"safebo check {study}",
            "resume": f"safebo tune {study} --out {here} --resume{f' --trials {trials}' if trials else ''}{robot}",
            "continue": f"safebo tune {study} --continue {here} --out {after}{robot}",
            "new": f"safebo tune {study} --out {after}{robot}",
        }[kind]


@dataclass(frozen=True)
class WalkUtility:
    """How much better than the first walk of its context a walk is, by the answers: bounds of the difference."""

    trial: int
    context: str
    lower: float
    mean: float
    upper: float


@dataclass(frozen=True)
class PreferenceStory:
    """What a person's answers say, where the objective is a preference.

    Args:
        consistency: how consistent they are, in a sentence.
        utilities: of every walk that was compared, in the order asked.
        pairs: number, left, right, what was said, who said it, and the number of the question that it repeats.
    """

    consistency: str
    utilities: tuple[WalkUtility, ...]
    pairs: tuple[tuple[int, int, int, str, str, int | None], ...]


@dataclass(frozen=True)
class ReportData:
    """Everything that a report shows.

    Args:
        study: the study that was run.
        entries: its trials in the order in which they were asked.
        contexts: one item per context of the study that was tried or is predicted.
        lengthscales: by function name, then input name, in the unit cube; empty without a surrogate.
        fitted: whether the lengthscales were fitted to data rather than declared.
        state_names: names of the state coordinates, with units, for the table of backups.
        provenance: what made this run, as label and value.
        created: when the report was made, as text.
        planned: the run's total number of trials.
        prior: what became of another run's trials; None for a run without a prior.
        residuals: standardized one-step residuals by function, `n` each.
        findings: what was found, how sure, what limits it, what next (`safebo.report.findings`).
        preference: what a person's answers say; None for a measured objective.
        monitors: what is promised of monitors that the run learned, each one sentence.
    """

    study: Study
    entries: tuple[TrialRecord, ...]
    contexts: tuple[ContextReport, ...]
    lengthscales: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    fitted: bool = False
    state_names: tuple[str, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    planned: int = 0
    prior: PriorStory | None = None
    residuals: Mapping[str, FloatArray] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    preference: PreferenceStory | None = None
    monitors: tuple[str, ...] = ()


def functions(study: Study) -> tuple[FunctionSpec, ...]:
    """The objective followed by the constraints."""
    return (study.objective, *study.constraints)


def is_safe(entry: TrialRecord, study: Study) -> bool:
    """Whether the trial completed, did not fall, and measured every declared margin at >= 0."""
    m = entry.measurement
    if m is None or m.outcome not in ("completed", "backup") or m.fell:
        return False
    observed = [finite_margin(entry, c) for c in study.constraints]
    return all(value is not None and value >= 0 for value in observed)


def finite_margin(entry: TrialRecord, constraint: FunctionSpec) -> float | None:
    """A measured margin where it exists and is finite."""
    value = None if entry.measurement is None else margin_of(entry.measurement, constraint)
    return None if value is None or not np.isfinite(value) else float(value)


def objective_of(entry: TrialRecord) -> float | None:
    """The measured objective where it exists and is finite."""
    m = entry.measurement
    if m is None or m.objective is None or not np.isfinite(m.objective):
        return None
    return float(m.objective)


def best_so_far(
    entries: tuple[TrialRecord, ...], study: Study, context: str
) -> tuple[list[int], list[float]]:
    """Highest objective measured so far in completed, safe trials of a context.

    A trial in which the monitor switched gains does not count: its objective is not that of its gains.

    Returns:
        Trial ids and values, one pair per trial of the context from the first safe one on.
    """
    ids: list[int] = []
    values: list[float] = []
    for entry in entries:
        if entry.trial.context_name != context:
            continue
        value = objective_of(entry)
        counts = value is not None and is_safe(entry, study)
        counts = counts and entry.measurement is not None and entry.measurement.outcome == "completed"
        if counts and value is not None:
            values.append(max(value, values[-1]) if values else value)
            ids.append(entry.trial.id)
        elif values:
            values.append(values[-1])
            ids.append(entry.trial.id)
    return ids, values
