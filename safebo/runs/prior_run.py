"""Another run as a prior: which of its trials are taken, and when its study is another one.

The numbers of both runs must mean the same: the same gains, context variables, objective and constraints, in the same
units. Evaluator, bounds, contexts, seeds, method and the surrogate's numbers may differ: values are copied in their own
units and modelled as this run's study says. Of trials that walked all of some scenarios a run without scenarios takes
what these aggregate to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from safebo.errors import InputError, MeasurementError, NotARunError
from safebo.evaluators.gate import checked_measurement
from safebo.files.reading import usable_path
from safebo.storage.journal import Journal
from safebo.storage.prior_trials import PriorTrials, prior_rows
from safebo.study import ContextVariable, FunctionSpec, Parameter, Study, quantity_of
from safebo.study.preference_checks import prefers
from safebo.study.reading import changed_keys
from safebo.study.tuner_checks import prior_data


def read_prior(folder: str | Path, study: Study) -> PriorTrials:
    """The told trials of another run, for a run of `study`.

    Args:
        folder: of the other run; its journal is only read, and it may be going on.
        study: this run's.

    Raises:
        NotARunError: the folder holds no run.
        InputError: it is a run of another study, or none of its trials can be modelled.
        JournalError: its record cannot be read.
    """
    if prefers(study):
        raise InputError(
            f"--prior {folder}: the objective is a preference, and another run's answers are not taken over; leave it "
            "out"
        )
    if study.surrogate.time is not None:
        raise InputError(
            f"--prior {folder}: surrogate.time is declared, and another run's trials have no place on this robot's "
            "operating time: leave out one of the two"
        )
    with Journal.open(usable_path(Path(folder)), read_only=True) as journal:
        run, records = journal.run, journal.records(states=False)
    _refuse_another_study(folder, run.study, study)
    try:
        told = [
            (r.trial, checked_measurement(r.measurement, study)) for r in records if r.measurement is not None
        ]
    except MeasurementError as error:
        raise InputError(f"--prior {folder}: holds a measurement that cannot be used: {error}") from error
    if not any(m.outcome in ("completed", "aborted") for _, m in told):
        raise InputError(
            f"--prior {folder}: none of its {len(records)} trials was completed, so there is nothing to learn from"
        )
    different = tuple(changed_keys(run.study, study))
    return PriorTrials(run.run, str(Path(folder).resolve()), run.name, different, prior_rows(told))


def _refuse_another_study(folder: str | Path, there: Study, here: Study) -> None:
    """Raise `InputError` where the numbers of a run would mean something else here, with the keys that differ."""
    problems = list(_differences(there, here))
    if problems:
        lines = "\n".join(f"  {line}" for line in problems)
        raise InputError(
            f"--prior {folder}: is a run of another study ({there.name!r}), its trials say nothing here; it differs in:"
            f"\n{lines}"
        )


def with_prior_data(study: Study, begun: Study | None = None) -> Study:
    """The study as it runs with a prior: `surrogate.prior_data` with what it leaves open filled in.

    Args:
        study: as it is declared.
        begun: the study of the run that goes on, which keeps what it began with; None for a new run.
    """
    kept = None if begun is None else begun.surrogate.prior_data
    surrogate = study.surrogate.model_copy(update={"prior_data": kept or prior_data(study)})
    return study.model_copy(update={"surrogate": surrogate})


def refuse_another_prior(journal: Journal, given: str | Path) -> None:
    """Raise `InputError` when a run is resumed with another prior than it has; its own may be gone by now."""
    kept = journal.prior()
    if kept is None:
        raise InputError(
            f"--prior {given}: the run began without a prior and goes on without one (leave it out)"
        )
    if Path(given).resolve() == Path(kept.source):
        return
    try:
        with Journal.open(given, read_only=True) as other:
            same = other.run.run == kept.run
    except NotARunError:
        same = False
    if not same:
        raise InputError(
            f"--prior {given}: the run began with {len(kept.rows)} trials of {kept.source} as prior and keeps them; "
            "leave --prior out"
        )


def tuner_of(journal: Journal, make_tuner: Callable[[Study, int], Any]) -> Any:
    """A new tuner of a recorded run, with the run's prior and what people said of its trials, and none of its trials.

    Args:
        journal: of the run.
        make_tuner: makes it from the study as it runs and the seed.
    """
    tuner = informed(make_tuner(journal.run.study, journal.run.seed), journal.prior())
    return with_answers(tuner, journal)


def with_answers(tuner: Any, journal: Journal) -> Any:
    """The tuner, once it knows what people said of the run's trials, if they said anything."""
    if kept := journal.answers():
        tuner.restore_preferences([k.answer for k in kept])
    return tuner


def informed(tuner: Any, prior: PriorTrials | None) -> Any:
    """The tuner, once it has taken the prior, if there is one."""
    if prior is not None:
        tuner.take_prior(prior.records)
    return tuner


def _differences(there: Study, here: Study) -> Iterator[str]:
    yield from axis_differences("parameters", there.parameters, here.parameters, _MEANING)
    yield from axis_differences(
        "context.variables", there.context.variables, here.context.variables, _MEANING
    )
    yield from function_differences("objective", [there.objective], [here.objective])
    yield from function_differences("constraints", there.constraints, here.constraints)
    if here.scenarios is not None or not _whole(there):
        yield from scenario_differences(there, here)


def _whole(study: Study) -> bool:
    """Whether every trial walked all scenarios, if there are any: what they aggregate to is then one function of gains,
    of which a run in one condition may learn as of any other simulation.
    """
    return study.scenarios is None or study.scenarios.walked == "all"


_MEANING = ("unit", "scale", "period")


def axis_differences(
    where: str,
    there: Sequence[Parameter | ContextVariable],
    here: Sequence[Parameter | ContextVariable],
    keys: Sequence[str],
    names: bool = True,
) -> Iterator[str]:
    """In what parameters or context variables of two studies differ, a line each.

    Args:
        where: key of the study.
        there: the other study's.
        here: this one's.
        keys: that are compared where both have a name.
        names: whether both must have the same ones.
    """
    if names:
        yield from _names(where, [axis.name for axis in there], [axis.name for axis in here])
    others = {axis.name: axis for axis in there}
    for axis in here:
        other = others.get(axis.name)
        if other is None:
            continue
        for key in keys:
            yield from _value(
                f"{where}.{axis.name}.{key}", getattr(other, key, None), getattr(axis, key, None)
            )


def function_differences(
    where: str, there: Sequence[FunctionSpec], here: Sequence[FunctionSpec], names: bool = True
) -> Iterator[str]:
    """In what measured functions of two studies differ, a line each; see `axis_differences`."""
    if names:
        yield from _names(where, [f.name for f in there], [f.name for f in here])
    others = {f.name: f for f in there}
    for f in here:
        if f.name in others:
            yield from _value(f"{where}.{f.name}.quantity", quantity_of(others[f.name]), quantity_of(f))
            yield from _value(f"{where}.{f.name}.unit", others[f.name].unit, f.unit)


def scenario_differences(there: Study, here: Study) -> Iterator[str]:
    """In what two studies' scenarios differ: what was aggregated over others says nothing of these."""
    other, own = (None if s.scenarios is None else s.scenarios.values for s in (there, here))
    if other is None or own is None:
        if other != own:
            yield f"scenarios: {'none' if other is None else ', '.join(other)} there, " + (
                f"{'none' if own is None else ', '.join(own)} here"
            )
        return
    yield from _names("scenarios.values", list(other), list(own))
    for name in own:
        yield from _value(f"scenarios.values.{name}", other.get(name, own[name]), own[name])


def _names(where: str, there: Sequence[str], here: Sequence[str]) -> Iterator[str]:
    for name in here:
        if name not in there:
            yield f"{where}: {name!r} is not there (it has {', '.join(there) or 'none'})"
    for name in there:
        if name not in here:
            yield f"{where}: {name!r} is there and not in this study"


def _value(key: str, there: object, here: object) -> Iterator[str]:
    """A unit that one of them leaves open does not contradict the other's."""
    if there != here and "" not in (there, here):
        yield f"{key}: {there!r} there, {here!r} here"
