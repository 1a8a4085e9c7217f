"""From a tuner's recommendation to the file of best gains."""

from __future__ import annotations

from typing import Any

from safebo.best_gains import BestGains
from safebo.study import Study


def as_best_gains(recommendation: Any, study: Study, context: str) -> BestGains | None:
    """The file's content for a `Recommendation` of `safebo.tuner`; None for None.

    Args:
        recommendation: what `Tuner.best` or `Tuner.predict` returned.
        study: the study as it runs.
        context: name of the context.
    """
    if recommendation is None:
        return None
    bounds = dict(recommendation.bounds)
    return BestGains(
        context=context,
        gains=dict(recommendation.parameters),
        certified=bool(recommendation.certified),
        objective=bounds[study.objective.name],
        margins={c.name: bounds[c.name] for c in study.constraints if c.name in bounds},
        study=study.name,
        objective_name=study.objective.name,
        objective_unit=study.objective.unit,
        context_values=dict(study.context.values.get(context, {})),
    )
