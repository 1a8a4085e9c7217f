"""Optuna's trials as records of a tuner: what the storage holds is the whole state.

| Optuna's state | here |
|---|---|
| `COMPLETE` | completed: value and constraint values are modelled; an infinite value is not, its constraints are |
| `PRUNED`, a constraint above 0 | aborted: ended early because a limit broke; the constraint values are modelled |
| `PRUNED`, none above 0 | failed: what was seen so far says nothing about the rest of the trial |
| `FAIL` | failed: recorded, never modelled |
| `RUNNING` | pending: shrinks variances, invents no value |
| `WAITING` | not looked at before it runs |
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from safebo.errors import MeasurementError, ParameterError
from safebo.evaluators.gate import failed
from safebo.integrations.optuna_study import choice_name
from safebo.tuner.encoding import StudyEncoding
from safebo.types import PHASES, Measurement, Phase, Trial

CONSTRAINTS = "constraints"
"""Where Optuna, its `best_trial` and its dashboard look for constraint values among a trial's attributes."""

UNKNOWN = sys.float_info.max
"""Stored as the constraint value of a trial that has none: Optuna takes a trial without values for feasible, and
its dashboard reads no infinity."""

PROPOSAL = "safebo:proposal"
"""Where a proposal's parameters, phase, reason and predictions are kept among a trial's attributes."""


def checked_constraints(values: Any, names: Sequence[str], number: int) -> tuple[float, ...]:
    """What `constraints_func` returned, as numbers.

    Raises:
        MeasurementError: unless it is one finite number for every constraint.
    """
    where = f"trial {number}: constraints_func"
    try:
        found = tuple(float(v) for v in values)
    except (TypeError, ValueError) as error:
        raise MeasurementError(f"{where} returned {values!r}, not a sequence of numbers") from error
    if len(found) != len(names):
        raise MeasurementError(
            f"{where} returned {len(found)} values, expected are {len(names)}: {', '.join(names)}"
        )
    for name, value in zip(names, found, strict=True):
        if not math.isfinite(value):
            raise MeasurementError(f"{where} returned {name} = {value}, not a finite number")
    return found


def proposal_attribute(trial: Trial, functions: Sequence[str], sign: float) -> dict[str, Any]:
    """A proposal as it is stored; the predicted bounds in Optuna's signs.

    Args:
        trial: the proposal.
        functions: names of the objective and of the constraints.
        sign: 1 where Optuna's study maximises, -1 where it minimises.
    """
    predicted = {}
    for i, name in enumerate(functions):
        bounds = trial.predicted[name]
        turn = sign if i == 0 else -1.0
        values = [turn * v for v in (bounds.lower, bounds.mean, bounds.upper)]
        predicted[name] = {"lower": min(values), "mean": values[1], "upper": max(values)}
    return {
        "parameters": dict(trial.parameters),
        "phase": trial.phase,
        "certified": trial.certified,
        "reason": trial.reason,
        "predicted": predicted,
    }


class Records:
    """Reads Optuna's trials for one study.

    Args:
        encoding: spaces and functions.
        context: name of the context that Optuna's study is about.
        sign: 1 where Optuna's study maximises, -1 where it minimises.
    """

    def __init__(self, encoding: StudyEncoding, context: str, sign: float) -> None:
        self.encoding = encoding
        self.context = context
        self.sign = sign
        space, study = encoding.space, encoding.study
        self._seeds = [space.vector(s.parameters) for s in study.seeds if s.context == context]

    def trial(self, frozen: FrozenTrial) -> Trial | None:
        """What was tried; None while a trial has no parameters. Optuna's numbers count from 0, ids from 1.

        Raises:
            ParameterError: for a finished trial without the declared parameters, or with others' bounds.
        """
        proposal = frozen.system_attrs.get(PROPOSAL)
        parameters = self._parameters(frozen, proposal)
        if frozen.state == TrialState.WAITING or parameters is None:
            return None
        return Trial(
            id=frozen.number + 1,
            parameters=parameters,
            context=dict(self.encoding.study.context.values[self.context]),
            context_name=self.context,
            phase=self._phase(parameters, proposal),
            seed=frozen.number,
            certified=bool(proposal and proposal["certified"]),
        )

    def measurement(self, frozen: FrozenTrial) -> Measurement | None:
        """What it showed; None while it runs.

        Raises:
            MeasurementError: for a finished trial without usable constraint values.
        """
        if frozen.state == TrialState.RUNNING:
            return None
        if frozen.state == TrialState.FAIL:
            return failed("it failed in Optuna")
        values = frozen.system_attrs.get(CONSTRAINTS)
        names = self.encoding.names[1:]
        if values is None or UNKNOWN in values:
            raise MeasurementError(f"trial {frozen.number} has no constraint values")
        constraints = checked_constraints(values, names, frozen.number)
        margins = {name: -value for name, value in zip(names, constraints, strict=True)}
        if frozen.state == TrialState.PRUNED:
            if all(margin >= 0 for margin in margins.values()):
                return failed("it was pruned before its end")
            return Measurement("aborted", margins=margins)
        value = math.nan if frozen.value is None else frozen.value
        if not math.isfinite(value):
            return Measurement("aborted", margins=margins)
        return Measurement("completed", objective=self.sign * value, margins=margins)

    def _parameters(self, frozen: FrozenTrial, proposal: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """What was tried; of a trial still running or broken off early, what was proposed or enqueued."""
        names = self.encoding.space.names
        finished = frozen.state in (TrialState.COMPLETE, TrialState.PRUNED)
        enqueued = frozen.system_attrs.get("fixed_params", {})
        sources = (
            [frozen.params] if finished else [frozen.params, enqueued, (proposal or {}).get("parameters", {})]
        )
        for source in sources:
            if all(name in source for name in names):
                row = self.encoding.space.vector(
                    {
                        axis.name: choice_name(source[axis.name]) if axis.choices else source[axis.name]
                        for axis in self.encoding.space.axes
                    },
                    where=f"trial {frozen.number}",
                )
                return self.encoding.space.named(row)
        if finished:
            missing = [name for name in names if name not in frozen.params]
            raise ParameterError(
                f"trial {frozen.number} suggested no {', '.join(missing)}, which search_space declares"
            )
        return None

    def _phase(self, parameters: Mapping[str, Any], proposal: Mapping[str, Any] | None) -> Phase:
        if proposal is not None and proposal["phase"] in PHASES and proposal["parameters"] == parameters:
            phase: Phase = proposal["phase"]
            return phase
        row = self.encoding.space.vector(parameters)
        return "seed" if any(np.array_equal(row, seed) for seed in self._seeds) else "manual"
