"""A campaign that goes on under a changed study: trials of an earlier run, as the new study has them.

Bounds, limits and gains may change between the two; what a number means may not. Earlier trials of the same robot
become the first ones of the new run: they count as measured, seeds among them. Those of a robot that was changed since
are another robot's: they inform the new run as a prior run does, and its seeds come first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safebo.errors import InputError, JournalError, MeasurementError, NotARunError, ParameterError
from safebo.evaluators.gate import checked_measurement
from safebo.files.reading import usable_path
from safebo.runs.prior_run import axis_differences, function_differences, scenario_differences
from safebo.runs.supervision import robot_words, robots_of
from safebo.storage.journal import Journal
from safebo.storage.prior_trials import PriorTrials, prior_rows
from safebo.storage.records import Record, RunInfo, TakenTrials
from safebo.study import Parameter, Study
from safebo.study.axis import value_text
from safebo.study.reading import changed_keys, flatten
from safebo.study.space import Space
from safebo.types import EvaluatorInfo, Measurement, Trial

NOTHING = "nothing"
"""Of `--moved`: the evaluator's options changed, and no margin moved."""


@dataclass(frozen=True)
class CampaignChanges:
    """What a person says of the time between two runs.

    Args:
        folder: of the earlier run.
        robot: what was changed of the robot since; empty where it is the same.
        moved: by constraint, how much larger its margin is by the new limits than it was measured, in its unit; None
            where nothing was said of it.
    """

    folder: Path
    robot: str = ""
    moved: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Earlier:
    """An earlier run's trials as the new study has them.

    Args:
        taken: trials of the same robot, the first ones of the new run; None where it was changed.
        prior: what serves as prior: the earlier run's own prior, or its trials where the robot was changed.
        text: for people, in sentences.
    """

    taken: TakenTrials | None
    prior: PriorTrials | None
    text: str


def moved_margins(words: Sequence[str], study: Study) -> dict[str, float] | None:
    """`MARGIN=AMOUNT` of every word, or none of `nothing`; None without words.

    Raises:
        InputError: a word that is none, or a margin that the study does not have.
    """
    if not words:
        return None
    moved: dict[str, float] = {}
    known = [c.name for c in study.constraints]
    for word in words:
        if word == NOTHING:
            continue
        name, _, amount = word.rpartition("=")
        try:
            moved[name] = float(amount)
        except ValueError:
            name = ""
        if not name or not abs(moved[name]) < float("inf"):
            raise InputError(
                f"--moved {word!r}: expected MARGIN=AMOUNT, by how much a margin is larger now than it was measured "
                f"({known[0] if known else 'tilt'}=0.05), or {NOTHING!r}"
            )
        if name not in known:
            raise InputError(
                f"--moved {word!r}: {name!r} is no constraint of the study ({', '.join(known) or 'it has none'})"
            )
    return moved


def read_earlier(changes: CampaignChanges, study: Study, info: EvaluatorInfo) -> Earlier:
    """The trials of an earlier run for a new one.

    Args:
        changes: which run, and what changed.
        study: the new one, as it runs.
        info: of its evaluator.

    Raises:
        NotARunError: the folder holds no run.
        InputError: its numbers mean something else here, or nothing of it can be used.
        JournalError: its record cannot be read.
    """
    where = f"--continue {changes.folder}"
    try:
        with Journal.open(usable_path(changes.folder), read_only=True) as journal:
            run, records, prior = journal.run, journal.records(), journal.prior()
            robots = robots_of(journal)
    except NotARunError as error:
        raise NotARunError(f"--continue: {error}") from error
    except JournalError as error:
        raise JournalError(f"--continue: {error}") from error
    problems = [*_meaning(run.study, study)]
    if not changes.robot:
        problems += _same_robot(run.study, study, robots, info, changes)
    if problems:
        lines = "\n".join(f"  {line}" for line in problems)
        raise InputError(f"{where}: its trials cannot go on under this study:\n{lines}")
    gains = _Gains.of(run, records, study, info, where)
    source = changes.folder.resolve()
    told, ids, left_out = _translated(records, gains, study, changes.moved or {}, source, where)
    if not told:
        why = f": {'; '.join(left_out)}" if left_out else ""
        raise InputError(f"{where}: none of its {len(records)} trials can be used{why}. Leave --continue out")
    scales = list(_scales(run.study, study))
    different = tuple(changed_keys(run.study, study))
    parts = [f"{len(told)} of {len(records)} trials of {source}", *gains.words, *left_out, *scales]
    outside = sum(not inside(Space.of_parameters(study), trial) for trial, _ in told)
    if outside:
        parts.append(f"{outside} outside of the bounds inform the surrogate and are not proposed")
    parts += [
        f"margin {name} is {amount:+g} of what was measured" for name, amount in (changes.moved or {}).items()
    ]
    if changes.robot:
        text = f"The robot was changed ({changes.robot}): {'; '.join(parts)} are another robot's and serve as prior."
        if prior is not None:
            text += f" Its own prior, {len(prior.rows)} trials of {prior.source}, is left out: a run has one."
        return Earlier(None, PriorTrials(run.run, str(source), run.name, different, prior_rows(told)), text)
    data = {
        "source": str(source),
        "run": run.run,
        "trials": {str(trial.id): was for (trial, _), was in zip(told, ids, strict=True)},
        "differences": list(different),
        "moved": dict(changes.moved or {}),
    }
    text = f"{'; '.join(parts)}. They go on here as the first {len(told)}."
    return Earlier(TakenTrials(tuple(told), text, data), _own_prior(prior, gains, study), text)


def inside(space: Space, trial: Trial) -> bool:
    """Whether a trial's gains may be tried."""
    try:
        space.vector(trial.parameters)
    except ParameterError:
        return False
    return True


def _scales(there: Study, here: Study) -> Iterator[str]:
    """Parameters along which functions are taken to be rougher or smoother than they were, in their units.

    A lengthscale is a share of the bounds, so that it changes with them.
    """
    before = {p.name: p for p in there.parameters if not p.choices}
    for p in here.parameters:
        was = before.get(p.name)
        if was is None or p.choices or p.period is not None or p.scale != was.scale:
            continue
        own, other = (
            (q.lengthscale or study.surrogate.lengthscale) * _width(q)
            for q, study in ((p, here), (was, there))
        )
        if abs(own / other - 1.0) > 0.01:
            word, factor = ("smoother", own / other) if own > other else ("rougher", other / own)
            yield f"functions are taken to be {word} in {p.name}, by a factor of {factor:.3g}"


def _width(p: Parameter) -> float:
    low, high = p.bounds
    return math.log(high / low) if p.scale == "log" else high - low


def _meaning(there: Study, here: Study) -> Iterator[str]:
    """In what the numbers of two studies mean different things."""
    yield from axis_differences(
        "parameters", there.parameters, here.parameters, ("unit", "period"), names=False
    )
    yield from axis_differences(
        "context.variables", there.context.variables, here.context.variables, ("unit", "period")
    )
    yield from function_differences("objective", [there.objective], [here.objective])
    yield from function_differences("constraints", there.constraints, here.constraints, names=False)
    yield from scenario_differences(there, here)
    for name, values in here.context.values.items():
        before = there.context.values.get(name, values)
        for key in sorted({*before, *values}):
            if before.get(key) != values.get(key):
                was, now = before.get(key), values.get(key)
                yield (
                    f"context.values.{name}.{key}: {was!r} there, {now!r} here; give the new context another name"
                )


def _same_robot(
    there: Study,
    here: Study,
    robots: Sequence[Mapping[str, str]],
    info: EvaluatorInfo,
    changes: CampaignChanges,
) -> Iterator[str]:
    """What shows that the earlier trials are another robot's, or that their margins had other limits."""
    other = "say --robot-changed TEXT, and its trials are another robot's and serve as prior"
    if there.evaluator.name != here.evaluator.name:
        yield f"evaluator.name: {there.evaluator.name!r} there, {here.evaluator.name!r} here; {other}"
        return
    was = robot_words(robots[0]["robot"], robots[0]["serial"]) if robots else robot_words("", "")
    now = robot_words(info.robot, info.serial)
    if was != now:
        yield f"its trials were made with {was}, here is {now}; {other}"
    old, new = flatten(there), flatten(here)
    keys = sorted(key for key in {**old, **new} if key.startswith("evaluator.options"))
    differ = [key for key in keys if old.get(key) != new.get(key)]
    if differ and changes.moved is None:
        shown = ", ".join(f"{key} {old.get(key)!r} -> {new.get(key)!r}" for key in differ[:6])
        yield (
            f"{shown}: does that change what a trial measures? Say by how much margins are larger by the new limits "
            f"(--moved MARGIN=AMOUNT), that they are not (--moved {NOTHING}), or {other}"
        )


@dataclass(frozen=True)
class _Gains:
    """How the gains of an earlier trial are those of the new study.

    Args:
        added: by parameter that is new, the value that earlier trials had.
        removed: by parameter that is gone, the value that it has now; a trial with another one cannot be used.
        words: the same for people.
    """

    added: Mapping[str, Any]
    removed: Mapping[str, Any]
    words: tuple[str, ...]

    @classmethod
    def of(
        cls, run: RunInfo, records: Sequence[Record], study: Study, info: EvaluatorInfo, where: str
    ) -> _Gains:
        """From the parameters of both, the evaluator's defaults, the new seeds and what was tried.

        Raises:
            InputError: a value is not known.
        """
        defaults = {p.name: p.default for p in info.parameters if not p.choices and math.isfinite(p.default)}
        before, now = [p.name for p in run.study.parameters], {p.name: p for p in study.parameters}
        added, removed, words = {}, {}, []
        for name in (name for name in now if name not in before):
            if name in defaults and not now[name].choices:
                value, why = defaults[name], "the evaluator's default"
            else:
                value, why = _of_seeds(now[name], study, where), "as in the seeds"
            added[name] = value
            words.append(f"{name} is new and was {value_text(value)}, {why}")
        for name in (name for name in before if name not in now):
            tried = list(dict.fromkeys(r.trial.parameters[name] for r in records))
            if name in defaults:
                removed[name] = defaults[name]
            elif len(tried) == 1:
                removed[name] = tried[0]
            else:
                raise InputError(
                    f"{where}: parameters.{name} is gone, its trials had {len(tried)} values of it, and the evaluator "
                    "does not say which one it has now; keep the parameter"
                )
            words.append(f"{name} is gone and fixed at {value_text(removed[name])}")
        return cls(added, removed, tuple(words))

    def translated(self, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
        """The gains as the new study has them; None of a trial whose removed ones had other values."""
        if any(parameters[name] != value for name, value in self.removed.items()):
            return None
        return {name: v for name, v in parameters.items() if name not in self.removed} | dict(self.added)


def _of_seeds(parameter: Parameter, study: Study, where: str) -> Any:
    values = list(dict.fromkeys(seed.parameters[parameter.name] for seed in study.seeds))
    if len(values) != 1:
        raise InputError(
            f"{where}: parameters.{parameter.name} is new, and which value it had in earlier trials is not known: the "
            f"seeds have {', '.join(value_text(v) for v in values)}; give them one"
        )
    return values[0]


def _translated(
    records: Sequence[Record],
    gains: _Gains,
    study: Study,
    moved: Mapping[str, float],
    source: Path,
    where: str,
) -> tuple[list[tuple[Trial, Measurement]], list[int], list[str]]:
    """Trials with what they showed, their earlier ids, and what was left out, for people."""
    space = Space.of_parameters(study)
    seeds = [(seed.context, dict(seed.parameters)) for seed in study.seeds]
    told: list[tuple[Trial, Measurement]] = []
    ids: list[int] = []
    lost: dict[str, list[int]] = {}
    for record in records:
        trial, measurement = record.trial, record.measurement
        parameters = gains.translated(trial.parameters)
        if measurement is None:
            lost.setdefault("not told", []).append(trial.id)
        elif parameters is None:
            fixed = ", ".join(f"{name} {value_text(value)}" for name, value in gains.removed.items())
            lost.setdefault(f"with other values than {fixed}", []).append(trial.id)
        elif not _fits(space, parameters):
            lost.setdefault("with values that the study does not have", []).append(trial.id)
        else:
            if measurement.telemetry is not None:  # it stays where it is
                measurement = replace(measurement, telemetry=str(source / measurement.telemetry))
            again = trial.phase == "seed" and (trial.context_name, parameters) not in seeds
            told.append(
                (
                    replace(
                        trial,
                        id=len(told) + 1,
                        parameters=parameters,
                        phase="manual" if again else trial.phase,
                        reason=f"trial {trial.id} of an earlier run: {trial.reason}",
                    ),
                    _checked(trial.id, _moved(measurement, study, moved), study, where),
                )
            )
            ids.append(trial.id)
    words = [f"{len(n)} {why} left out ({', '.join(map(str, n))})" for why, n in lost.items()]
    return told, ids, words


def _fits(space: Space, parameters: Mapping[str, Any]) -> bool:
    try:
        space.vector(parameters, within=False)
    except ParameterError:
        return False
    return True


def _moved(measurement: Measurement, study: Study, moved: Mapping[str, float]) -> Measurement:
    """The measurement by the new limits."""
    keys = {
        name: amount
        for c in study.constraints
        for name in (c.name, c.quantity)
        if (amount := moved.get(c.name))
    }
    if not keys:
        return measurement

    def shifted(margins: Mapping[str, float] | None) -> dict[str, float] | None:
        return None if margins is None else {n: v + keys.get(n, 0.0) for n, v in margins.items()}

    to_go = measurement.margins_to_go
    return replace(
        measurement,
        margins=shifted(measurement.margins) or {},
        true_margins=shifted(measurement.true_margins),
        margins_to_go=None if to_go is None else {n: v + keys.get(n, 0.0) for n, v in to_go.items()},
        scenarios={name: _moved(walk, study, moved) for name, walk in measurement.scenarios.items()},
    )


def _checked(number: int, measurement: Measurement, study: Study, where: str) -> Measurement:
    try:
        return checked_measurement(measurement, study)
    except MeasurementError as error:
        raise InputError(
            f"{where}: trial {number} did not measure all that this study models: {error}. A constraint that is new "
            "needs trials that measure it: begin a run without --continue"
        ) from error


def _own_prior(prior: PriorTrials | None, gains: _Gains, study: Study) -> PriorTrials | None:
    """The earlier run's own prior for the new study, without trials that it cannot have."""
    if prior is None:
        return None
    space = Space.of_parameters(study)
    kept = []
    for trial, measurement in prior.records:
        parameters = gains.translated(trial.parameters)
        if measurement is None or parameters is None or not _fits(space, parameters):
            continue
        try:
            kept.append((replace(trial, parameters=parameters), checked_measurement(measurement, study)))
        except MeasurementError:
            continue
    return replace(prior, rows=prior_rows(kept)) if kept else None
