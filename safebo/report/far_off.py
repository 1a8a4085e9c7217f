"""Whether an objective lies far from what its prior expects, so that what is said of it rests on a wrong prior."""

from __future__ import annotations

from safebo.report.data import RunView, objective_of
from safebo.report.sentences import trials_listed
from safebo.study.preference_checks import prefers
from safebo.study.priors import IMPOSSIBLE, impossible, prior_distance
from safebo.study.space import WarpMap


def far_off(run: RunView) -> dict[int, float]:
    """Trials whose objective a right prior calls impossibly bad, with their distances in its standard deviations.

    An outlier among margins never certifies (`safebo.models.outliers`); one of the objective certifies nothing anyway,
    but bends what is predicted of gains nearby, upwards on its other side.
    """
    return {trial: -far for trial, far in _distances(run).items() if impossible(far, objective=True)}


def far_above(run: RunView) -> tuple[str, str] | None:
    """What is said of an objective impossibly better than its prior expects, and what to do; None where it is not.

    That is welcome and certifies nothing, but a declared prior_std is too small then, and so are its intervals.
    """
    found = {trial: far for trial, far in _distances(run).items() if far > IMPOSSIBLE}
    if not found or run.study.surrogate.hyperparameters != "fixed":
        return None
    name, best = run.study.objective.name, max(found, key=found.__getitem__)
    return (
        f"{name} of trial {best} lies {found[best]:,.3g} prior standard deviations above what is expected of it, so "
        f"that the intervals given for {name} are too narrow; margins are not concerned.",
        f"Declare a larger prior_std of {name} and begin anew.",
    )


def _distances(run: RunView) -> dict[int, float]:
    """By completed trial, how many standard deviations its objective lies above what its prior expects."""
    spec = run.study.objective
    if prefers(run.study):
        return {}
    warp, found = WarpMap(spec.warp, spec.name), {}
    for entry in run.records:
        value = objective_of(entry)
        if value is None or entry.measurement is None or entry.measurement.outcome != "completed":
            continue
        found[entry.trial.id] = prior_distance(spec, float(warp.forward(value)))
    return found


def sentences(run: RunView) -> tuple[str, str] | None:
    """What is said of such trials, and what to do about them; None where there are none."""
    found = far_off(run)
    if not found:
        return None
    worst, name = max(found, key=found.__getitem__), run.study.objective.name
    ids = sorted(found)
    return (
        f"{name} of trial{'s' if len(ids) > 1 else ''} {trials_listed(ids)} lies {found[worst]:,.3g} prior standard "
        f"deviations below what is expected of it{f' (trial {worst})' if len(ids) > 1 else ''}: what is predicted of "
        f"{name}, at the best gains too, is not to be relied on.",
        f"If it is no true measurement, let the evaluator say so (outcome: failed). If it is, declare a larger "
        f"prior_std of {name}, or a warp of kind log, and begin anew.",
    )
