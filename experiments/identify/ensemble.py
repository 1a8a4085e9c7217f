"""Which certified trial to make next where there is no model of the plant: that on which small models disagree most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from safebo.errors import InputError
from safebo.experiments.identify.candidates import Candidate, candidates_of
from safebo.files.writing import write_whole
from safebo.models.dynamics_ensemble import NOTHING_LEFT, Disagreement, DynamicsEnsemble, StatePath
from safebo.runs.opened import Run, open_run
from safebo.storage.records import Record
from safebo.study.axis import value_text
from safebo.tuner.tuner import Tuner
from safebo.types import FloatArray

LEAST_TRIALS = 3
STARTS = 3
"""Tried gains nearest to a candidate, from whose measured first states it is predicted."""
DRAWN = 256
"""Points of a context that are looked at whether they are certified."""
NEAR = 0.15
"""Half of the points lie around tried gains, at this standard deviation of every coordinate of the unit cube."""
MAX_UNTRIED = 16
"""Certified points of a context that were never tried; those farthest from one another and from tried ones."""


@dataclass(frozen=True)
class EnsembleSuggestion:
    """Certified trials, in the order of what they would tell.

    Args:
        order: the candidates, that which tells most first.
        told: of each, by the same order.
        left_out: candidates of which nothing can be predicted, and why.
        trials: whose states were learned from.
    """

    order: tuple[Candidate, ...]
    told: Disagreement
    left_out: tuple[str, ...]
    trials: tuple[int, ...]


def suggest_by_ensemble(folder: Path) -> EnsembleSuggestion:
    """Which certified trial of a run to make next, from the states that its trials recorded. Nothing is evaluated.

    Args:
        folder: of the run, which may be going on.

    Raises:
        NotARunError: the folder holds no run.
        InputError: no states were recorded, too few, or such that cannot be learned from; or no trial is certified.
    """
    run = open_run(folder)
    paths = read_paths(run)
    tuner = run.tuner()
    assert isinstance(tuner, Tuner)
    points = {record.trial.id: tuner.encoding.row(record.trial).numpy() for record, _ in paths}
    contexts = {record.trial.id: record.trial.context_name for record, _ in paths}
    candidates, left_out = list[Candidate](), list[str]()
    for candidate in certified_candidates(run, tuner, set(contexts.values())):
        if candidate.context_name in contexts.values():
            candidates.append(candidate)
        else:
            left_out.append(f"{candidate.name}: no trial of context {candidate.context_name} recorded states")
    if not candidates:
        why = f": {'; '.join(left_out)}" if left_out else ""
        raise InputError(f"{folder}: no trial is certified whose states can be predicted{why}")
    ensemble = DynamicsEnsemble([StatePath(points[r.trial.id], states) for r, states in paths], run.info.seed)
    rows = np.array([_point(tuner, candidate) for candidate in candidates])
    names = [contexts[record.trial.id] for record, _ in paths]
    tried = np.array(list(points.values()))
    starts = [_nearest(tried, names, row, c.context_name) for row, c in zip(rows, candidates, strict=True)]
    told = ensemble.disagreement(rows, starts)
    order = np.argsort(-told.score, kind="stable")
    return EnsembleSuggestion(
        tuple(candidates[i] for i in order),
        Disagreement(told.score[order], told.std[order]),
        tuple(left_out),
        tuple(points),
    )


def read_paths(run: Run) -> list[tuple[Record, FloatArray]]:
    """Completed trials of a run and the states that they recorded, `n x k` with n >= 2.

    Raises:
        InputError: none, too few, unevenly chosen ones, of different widths, or not finite; says what to do.
    """
    study, folder = run.info.study, run.folder
    if study.evaluator.name == "legged" and study.evaluator.options.get("state_choice") != "even":
        raise InputError(
            f"{folder}: the recorded states are not equally spaced in time; set evaluator.options.state_choice: even "
            "in the study of a new run"
        )
    found = list[tuple[Record, FloatArray]]()
    for record in run.records:
        m = record.measurement
        if m is None or m.outcome != "completed" or m.fell or m.states is None or len(m.states) < 2:
            continue
        if not np.isfinite(m.states).all():
            raise InputError(f"{folder}: trial {record.trial.id}: states hold a number that is not finite")
        found.append((record, m.states))
    if not found and study.scenarios is not None:
        raise InputError(f"{folder}: its trials walk scenarios, of which no states are kept")
    if not found:
        raise InputError(
            f"{folder}: no completed trial recorded states. The evaluator returns them beside the margins as `states`: "
            "a list of rows, one for every step of time (all of one length, at least 2), each with the same numbers"
        )
    first, states = found[0]
    for record, other in found:
        if other.shape[1] != states.shape[1]:
            raise InputError(
                f"{folder}: states of trial {record.trial.id} have {other.shape[1]} numbers, those of trial "
                f"{first.trial.id} {states.shape[1]}: every trial must report the same ones"
            )
    if len(found) < LEAST_TRIALS:
        raise InputError(
            f"{folder}: {len(found)} completed trial{'s' * (len(found) > 1)} with states, and at least "
            f"{LEAST_TRIALS} are needed"
        )
    return found


def certified_candidates(run: Run, tuner: Tuner, contexts: set[str]) -> list[Candidate]:
    """Gains that may be tried now: safe seeds that were not tried yet, what is certified of tried ones, and certified
    gains of some contexts that were never tried.
    """
    tried = {(r.trial.context_name, *sorted(r.trial.parameters.items())) for r in run.records}
    found = [
        candidate
        for candidate in candidates_of(run.info.study, run.records)
        if (candidate.context_name, *sorted(candidate.parameters.items())) not in tried
        or tuner.certify(candidate.parameters, candidate.context_name).certified
    ]
    for name in sorted(contexts):
        values = run.info.study.context.values[name]
        for number, parameters in enumerate(_untried(run, tuner, name), 1):
            found.append(Candidate(f"untried {number} in {name}", parameters, values, name))
    return found


def _untried(run: Run, tuner: Tuner, name: str) -> list[Mapping[str, object]]:
    """Certified gains of a context that lie far from one another and from tried ones, at most `MAX_UNTRIED`."""
    space, rng = tuner.encoding.space, np.random.default_rng(run.info.seed)
    records = [r for r in run.records if r.trial.context_name == name]
    near = np.array([space.to_unit(space.vector(r.trial.parameters, within=False)) for r in records])
    around = near[rng.integers(len(near), size=DRAWN // 2)]
    around = around + NEAR * rng.standard_normal(around.shape)
    units = np.vstack([rng.random(around.shape), np.clip(around, 0.0, 1.0)])
    rows = space.proposals(units)
    rows = rows[space.keep(rows)]
    if len(rows):
        rows = rows[(tuner.bounds(rows, name)[:, 1:, 0] >= 0.0).all(1)]
    chosen, units = list[Mapping[str, object]](), space.to_unit(rows) if len(rows) else near[:0]
    gap = np.array([np.linalg.norm(near - unit, axis=1).min() for unit in units])
    while len(chosen) < MAX_UNTRIED and (gap > 1e-9).any():
        farthest = int(gap.argmax())
        parameters = space.named(rows[farthest])
        gap = np.minimum(gap, np.linalg.norm(units - units[farthest], axis=1))
        if tuner.certify(parameters, name).certified:
            chosen.append(parameters)
    return chosen


def _point(tuner: Tuner, candidate: Candidate) -> FloatArray:
    """Gains and context in the unit cube."""
    space = tuner.encoding.space
    context = tuner.encoding.context(candidate.context_name).numpy()
    return np.concatenate([space.to_unit(space.vector(candidate.parameters)), context])


def _nearest(tried: FloatArray, names: Sequence[str], row: FloatArray, context: str) -> list[int]:
    """Numbers of the `STARTS` nearest tried points of a context; where there are fewer, again from the first."""
    same = np.flatnonzero([name == context for name in names])
    near = same[np.argsort(np.linalg.norm(tried[same] - row, axis=1), kind="stable")]
    return [int(i) for i in np.resize(near[:STARTS], STARTS)]


def told_lines(found: EnsembleSuggestion) -> list[str]:
    """A suggestion for people."""
    lines = [f"learned from the states of {len(found.trials)} trials"]
    lines += [f"note: left out: {line}" for line in found.left_out]
    lines.append("next trial, by what it would tell (nats a step; disagreement over the steps' std):")
    for candidate, score, std in zip(found.order, found.told.score, found.told.std, strict=True):
        gains = ", ".join(
            f"{name} = {value if isinstance(value, str) else value_text(value)}"
            for name, value in candidate.parameters.items()
        )
        lines.append(f"  {score:.3f}  {100 * std:3.0f} %  {candidate.name}: {gains}")
    if found.told.nothing_left:
        lines.append(
            f"nothing is left to learn: everywhere the models differ by less than {100 * NOTHING_LEFT:.0f} % of the "
            "steps' std"
        )
    return lines


def write_gains(path: Path, candidate: Candidate) -> None:
    """Write the gains of a candidate as `safebo tell --parameters` reads them.

    Raises:
        InputError: the file cannot be written.
    """
    text = yaml.safe_dump(
        {"context": candidate.context_name, "gains": dict(candidate.parameters)}, sort_keys=False
    )
    try:
        write_whole(path, text)
    except OSError as error:
        raise InputError(f"--out {path}: {error.strerror or error}") from error
