"""Checks of studies of robots that change: whatever would certify without asking how old its knowledge is
(`surrogate.time`), or at which reading it was gained (`measured` context variables), is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from safebo.files.problems import KeyPath, Problem, unknown
from safebo.study import Study, TunerSpec
from safebo.study.duration import duration_text
from safebo.study.methods import METHODS, NORM_SCHEDULES, canonical, certifies


def change_problems(study: Study, brought: TunerSpec) -> Iterator[Problem]:
    """Everything that contradicts a robot which is declared to change, with time or with what is read of it.

    Args:
        study: as it is declared.
        brought: its tuner section with what the method brings along.
    """
    yield from _time_problems(study, brought)
    yield from _reading_problems(study, brought)


def _time_problems(study: Study, brought: TunerSpec) -> Iterator[Problem]:
    """Everything that contradicts a declared drift."""
    time = study.surrogate.time
    if time is None:
        return
    path: KeyPath = ("surrogate", "time")
    names = [f.name for f in (study.objective, *study.constraints)]
    for name in time.memories:
        if name not in names:
            yield unknown((*path, "memories", name), "function", name, names)
    for key, value in (("interval", time.interval), ("lead", time.lead)):
        if value is not None and value > time.pause and (key == "interval" or time.interval is None):
            yield Problem(
                (*path, key),
                f"{duration_text(value)} exceeds a tenth of the shortest memory ({duration_text(time.pause)}), after "
                "which the seeds come first: nothing but seeds would be tried",
            )
    name, confidence = canonical(study.tuner.method), brought.confidence
    known = METHODS.get(name)
    checks = (
        (
            known is not None and not certifies(name),
            f"method {study.tuner.method} certifies nothing, so no certificate of it expires: leave the key out, or "
            "use a method that certifies (safe_ucb, safeopt)",
        ),
        (
            known is not None and known.exploration is not None,
            f"method {study.tuner.method} certifies points by their own measurements and keeps backups, however old "
            "they are: use a method without global trials (safe_ucb, safeopt)",
        ),
        (
            brought.certificate == "measured",
            "certificate: measured rests on measurements however old they are: use certificate: bounds or lipschitz",
        ),
        (
            confidence.intersect,
            "confidence.intersect keeps intervals inside those of earlier times, which held for the robot as it was "
            "then: use intersect: false",
        ),
        (
            confidence.schedule in NORM_SCHEDULES,
            f"confidence.schedule: {confidence.schedule} rests on a norm over gains, which says nothing of functions "
            "that change with time: use constant, posterior or logarithmic",
        ),
        (
            study.surrogate.hyperparameters != "fixed",
            f"hyperparameters: {study.surrogate.hyperparameters} fits lengthscales to trials that cluster in time, "
            "where a change of the robot and one of the gains look alike: use hyperparameters: fixed",
        ),
        (
            study.surrogate.prior_data is not None,
            "prior_data brings trials of another run, which have no place on this robot's operating time: leave out "
            "one of the two",
        ),
    )
    yield from (Problem(path, message) for wrong, message in checks if wrong)


def _reading_problems(study: Study, brought: TunerSpec) -> Iterator[Problem]:
    """What contradicts context variables that are read before every trial."""
    known = METHODS.get(canonical(study.tuner.method))
    for index, variable in enumerate(study.context.variables):
        if not variable.measured:
            continue
        path: KeyPath = ("context", "variables", index, "measured")
        if known is not None and known.exploration is not None:
            yield Problem(
                path,
                f"method {study.tuner.method} keeps points and backups by the name of their context, at whatever "
                "reading they were tried: use a method without global trials (safe_ucb, safeopt)",
            )
        if brought.certificate != "bounds":
            yield Problem(
                path,
                f"certificate: {brought.certificate} takes trials of a context for alike, at whatever reading they "
                "were tried: use certificate: bounds",
            )
