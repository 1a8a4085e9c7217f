"""From a run's folder to what its report shows: read the journal, restore the tuner, compute the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from safebo.errors import SafeboError
from safebo.models.kernels import CoregionalKernel, DriftingKernel, StationaryKernel
from safebo.report.data import (
    Band,
    ContextReport,
    PointIntervals,
    Recording,
    ReportData,
    TrialRecord,
    functions,
    is_safe,
    objective_of,
)
from safebo.report.findings import findings, view_of
from safebo.report.preferences import preference_story
from safebo.report.prior import prior_story
from safebo.report.slicing import make_slices
from safebo.report.telemetry import TelemetryError, read_recording
from safebo.runs.best_gains import BestGains
from safebo.runs.clock import OperatingClock
from safebo.runs.learned_monitors import monitor_lines
from safebo.runs.norm_events import norm_words
from safebo.runs.prior_run import tuner_of
from safebo.runs.recommendation import as_best_gains, origin
from safebo.runs.supervision import robot_words, robots_of
from safebo.storage.journal import Journal
from safebo.storage.records import RunInfo
from safebo.study import Study
from safebo.study.checks import tuned_contexts
from safebo.study.space import Space
from safebo.tuner import Tuner
from safebo.types import FloatArray


def read_run(folder: Path) -> ReportData:
    """Read the run in `folder`; the journal is opened for reading only.

    Raises:
        NotARunError: the folder holds no run.
        JournalError: its record cannot be read.
    """
    with Journal.open(folder, read_only=True) as journal:
        run = journal.run
        computed_from = origin(journal)  # before the trials are read: the run may be going on
        entries = journal.records()
        tuner: Tuner = tuner_of(journal, Tuner)
        tuner.restore([(e.trial, e.measurement) for e in entries])
        prior, robots = prior_story(journal, tuner), robots_of(journal)
        view = view_of(folder, journal)
        preference = preference_story(journal, tuner)
        clock = OperatingClock(journal, entries)
        begun = [e.text for e in journal.events() if e.kind in ("taken", "robot-changed")]
        monitors = tuple(monitor_lines(journal))
    provenance = _provenance(run, robots) | ({"began with": begun[0]} if begun else {})
    if norms := tuner.norms():
        needed = {n: {"least": one.least, "declared": one.declared} for n, one in norms.items()}
        provenance["declared norm"] = norm_words(needed)
    data = assemble(run.study, entries, tuner, folder, provenance, run.trials, computed_from, clock)
    best = {c.name: c.best for c in data.contexts if c.tried and c.name in view.best}
    data = replace(data, preference=preference, monitors=monitors)
    return replace(data, prior=prior, findings=findings(replace(view, records=tuple(entries), best=best)))


def told_trials(folder: Path) -> int:
    """How many trials of a run have a result now."""
    with Journal.open(folder, read_only=True) as journal:
        return sum(r.measurement is not None for r in journal.records(states=False))


def assemble(
    study: Study,
    entries: Sequence[TrialRecord],
    tuner: Tuner,
    folder: Path,
    provenance: Mapping[str, str],
    planned: int,
    computed_from: str = "",
    clock: OperatingClock | None = None,
) -> ReportData:
    """Everything that a report shows, from a tuner that has been told the entries.

    Args:
        study: the study as it ran.
        entries: its trials.
        tuner: a tuner that knows them.
        folder: where telemetry with a relative path lies.
        provenance: what made the run, as label and value.
        planned: the run's total number of trials.
        computed_from: digest of the journal that they are from (`recommendation.origin`), which certified gains keep.
        clock: of the run, for certificates that expire.
    """
    lengthscales = _lengthscales(study, tuner, entries)
    tried = list(dict.fromkeys([*tuned_contexts(study), *(e.trial.context_name for e in entries)]))
    predicted = [name for name in study.context.predict if name not in tried]
    contexts = [
        _tried(study, entries, tuner, folder, name, lengthscales, computed_from, clock) for name in tried
    ]
    contexts += [_predicted(study, entries, tuner, name) for name in predicted]
    return ReportData(
        study=study,
        entries=tuple(entries),
        contexts=tuple(contexts),
        lengthscales=lengthscales,
        fitted=study.surrogate.hyperparameters != "fixed",
        state_names=tuple(study.tuner.backup.state_scale),
        provenance=provenance,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        planned=planned,
        residuals=tuner.residuals(),
    )


def _tried(
    study: Study,
    entries: Sequence[TrialRecord],
    tuner: Tuner,
    folder: Path,
    name: str,
    lengthscales: Mapping[str, Mapping[str, float]],
    computed_from: str,
    clock: OperatingClock | None,
) -> ContextReport:
    own = [e for e in entries if e.trial.context_name == name]
    seed = next((s.parameters for s in study.seeds if s.context == name), None)
    notes: list[str] = []
    best: BestGains | None = None
    if not any(e.measurement is not None for e in own):
        notes.append("No trial of this context has a result yet.")
    else:
        try:
            best = as_best_gains(tuner.best(name), study, name, computed_from, clock)
        except SafeboError as error:  # an unsafe seed, for one: the report says so and shows the rest
            notes.append(str(error))
        if best is None and not notes:
            notes.append("No gains are certified safe in this context, so there is no best to recommend.")
    anchor = best.gains if best is not None else seed
    slices = None
    if anchor is not None and own:
        kind = best.kind if best is not None else "seed gains"
        relevance = {key: 1.0 / value for key, value in lengthscales.get(study.objective.name, {}).items()}
        told = sum(e.measurement is not None for e in entries)
        slices = make_slices(
            study, name, anchor, kind, lambda X, c: _bands(study, tuner, X, c), relevance, told
        )
    before, after, tracking_note = _recordings(study, own, best, folder)
    return ContextReport(
        name=name,
        values=study.context.values.get(name, {}),
        tried=True,
        seed=seed,
        best=best,
        slices=slices,
        before=before,
        after=after,
        notes=tuple(notes),
        tracking_note=tracking_note,
        intervals=_intervals(tuner, name, own, best, seed),
        tolerances=None if best is None else tuner.tolerances(best.gains, name),
    )


def _intervals(
    tuner: Tuner,
    name: str,
    own: Sequence[TrialRecord],
    best: BestGains | None,
    seed: Mapping[str, Any] | None,
) -> tuple[PointIntervals, ...]:
    """What the intervals at the recommended gains and at the seed consist of; of the same gains once."""
    if not any(e.measurement is not None for e in own):
        return ()
    points = [] if best is None else [(best.kind, best.gains)]
    if seed is not None and (best is None or dict(seed) != dict(best.gains)):
        points.append(("seed gains", seed))
    return tuple(PointIntervals(kind, tuner.intervals(gains, name)) for kind, gains in points)


def _predicted(study: Study, entries: Sequence[TrialRecord], tuner: Tuner, name: str) -> ContextReport:
    values = study.context.values.get(name, {})
    if not any(objective_of(e) is not None for e in entries):
        note = "Nothing can be predicted: no trial has an objective yet."
        return ContextReport(name=name, values=values, tried=False, notes=(note,))
    try:
        best = as_best_gains(tuner.predict(name), study, name)
    except SafeboError as error:
        return ContextReport(name=name, values=values, tried=False, notes=(str(error),))
    return ContextReport(name=name, values=values, tried=False, best=best)


def _bands(study: Study, tuner: Tuner, X: FloatArray, context: str) -> dict[str, Band]:
    bounds = tuner.bounds(X, context)
    return {f.name: Band(*bounds[:, i].T) for i, f in enumerate(functions(study))}


def _lengthscales(study: Study, tuner: Tuner, entries: Sequence[TrialRecord]) -> dict[str, dict[str, float]]:
    if not any(e.measurement is not None for e in entries):
        return {}
    # The names of a choice have a lengthscale each; the shortest stands for it.
    space = Space.of_parameters(study)
    columns = {name: range(c.start, c.stop) for name, c in zip(space.names, space.columns, strict=True)}
    columns |= {
        v.name: range(space.dimension + i, space.dimension + i + 1)
        for i, v in enumerate(study.context.variables)
    }
    # Of a prior and this run, the part that they share comes first.
    kernels = [p.kernel for p in tuner.surrogate().posteriors]
    kernels = [k.parts[0][0] if isinstance(k, CoregionalKernel) else k for k in kernels]
    kernels = [k.kernel if isinstance(k, DriftingKernel) else k for k in kernels]
    return {
        f.name: {name: min(kernel.lengthscale.tolist()[i] for i in part) for name, part in columns.items()}
        for f, kernel in zip(functions(study), kernels, strict=True)
        if isinstance(kernel, StationaryKernel)  # another kernel has no lengthscale to show
    }


def _recordings(
    study: Study, own: Sequence[TrialRecord], best: BestGains | None, folder: Path
) -> tuple[Recording | None, Recording | None, str]:
    """Tracking of the seed and of the recorded safe trial nearest to the best, and what to say of them."""
    recorded = [e for e in own if e.measurement is not None and e.measurement.telemetry]
    if not recorded:
        return None, None, "No trajectory was saved in this context, so there is no tracking to show."
    first = next((e for e in recorded if e.trial.phase == "seed"), None)
    others = [e for e in recorded if e is not first and is_safe(e, study) and objective_of(e) is not None]
    if first is None:
        return None, None, "No trajectory of the seed gains was saved in this context."
    if best is None:
        return None, None, "Nothing is certified in this context, so there is no after to compare with."
    if not others:
        return None, None, "Only the seed gains' trajectory was saved in this context."
    distances = [_distance(study, e.trial.parameters, best.gains) for e in others]
    nearest = others[int(np.argmin(distances))]
    try:
        before, after = _read(folder, first), _read(folder, nearest)
    except TelemetryError as error:
        return None, None, f"Tracking cannot be shown: {str(error).rstrip('.')}."
    exact = min(distances) < 1e-6
    what = f"ran the {best.kind}" if exact else "is the recorded safe trial nearest to the best gains"
    return before, after, f"Before is a trial of the seed gains; after, trial {nearest.trial.id}, {what}."


def _read(folder: Path, entry: TrialRecord) -> Recording:
    assert entry.measurement is not None  # the caller keeps only recorded trials
    assert entry.measurement.telemetry is not None
    return read_recording(
        folder / entry.measurement.telemetry, entry.trial.id
    )  # an absolute path stays itself


def _distance(study: Study, a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
    """Largest difference over the gains, as a part of their bounds."""
    space = Space.of_parameters(study)
    rows = [space.to_unit(space.vector(values, within=False)) for values in (a, b)]
    return float(np.max(np.abs(rows[0] - rows[1])))


def _kernel(study: Study) -> str:
    spec = study.surrogate
    structure = "" if spec.structure == "joint" else f", {spec.structure}"
    return f"{spec.kernel}{structure}, hyperparameters {spec.hyperparameters}"


def _provenance(run: RunInfo, robots: Sequence[Mapping[str, str]]) -> dict[str, str]:
    facts = {
        "study": f"{run.name} ({run.source})" if run.source else run.name,
        "study hash": run.study_hash,
        "seed": str(run.seed),
        "method": run.study.tuner.method,
        "beta (of standard deviations)": f"{run.study.tuner.beta:g}",
        "trials planned": str(run.trials),
        "workers": str(run.workers),
        "evaluator": run.study.evaluator.name,
        "made with": robot_words(robots[0]["robot"], robots[0]["serial"]) if robots else robot_words("", ""),
        "kernel": _kernel(run.study),
        "started": run.created_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
    }
    if run.versions:
        facts["versions"] = ", ".join(f"{name} {value}" for name, value in run.versions.items())
    return facts
