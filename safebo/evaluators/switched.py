"""The gate for what an evaluator returns of trials in which it tried backups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from safebo.errors import EvaluatorError
from safebo.evaluators.numbers import finite_array
from safebo.types import SwitchedTrial, SwitchPlan


def checked_switches(value: Any, plan: SwitchPlan, name: str) -> SwitchedTrial:
    """What an evaluator returned, once it is known to answer the plan.

    Args:
        value: as it came.
        plan: that was asked for.
        name: of the evaluator.

    Raises:
        EvaluatorError: it is something else, or does not fit the plan.
    """
    if not isinstance(value, SwitchedTrial):
        raise EvaluatorError(
            f"evaluator {name!r}: try_switches() returned {type(value).__name__}, not SwitchedTrial"
        )
    for fault in _faults(value, plan):
        raise EvaluatorError(f"evaluator {name!r}: try_switches(): {fault}")
    return value


def _faults(found: SwitchedTrial, plan: SwitchPlan) -> Iterator[str]:
    states = finite_array(found.states)
    if states is None or states.ndim != 2 or not states.size:
        yield "states must be finite numbers, n x k with n and k at least 1"
        return
    n = len(states)
    if finite_array(found.phase) is None or np.shape(found.phase) not in ((0,), (n,)):
        yield f"phase must be {n} finite numbers, one for every state, or empty"
    if not found.period > 0.0 or found.ramp < 1:
        yield f"period must be a number of seconds > 0 and ramp at least 1, got {found.period!r} and {found.ramp!r}"
    for margin, course in found.shown.items():
        if finite_array(course) is None or np.shape(course) != (n,):
            yield f"shown of {margin!r} must be {n} finite numbers, one for each of the states"
    for what, values, count in (("margins", found.margins, n), ("to_go", found.to_go, len(plan.tried))):
        for margin in plan.margins:
            if margin not in values:
                yield f"{what} lacks {margin!r}"
            elif finite_array(values[margin]) is None or np.shape(values[margin]) != (count,):
                of = "states" if what == "margins" else "pairs of the plan"
                yield f"{what} of {margin!r} must be {count} finite numbers, one for each of the {of}"
