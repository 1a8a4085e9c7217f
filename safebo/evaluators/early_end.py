"""When a trial may end before its time, from its study and what was expected of it."""

from __future__ import annotations

from dataclasses import replace

from safebo.study import Study, quantity_of
from safebo.study.space import WarpMap
from safebo.trial_length.extremes import LARGEST_FACTOR
from safebo.types import EarlyEnd, Trial


def early_end(trial: Trial, study: Study) -> EarlyEnd | None:
    """What ends a trial early; None where nothing does.

    Trials of the tuner's own local choice alone: a seed shows what everything else rests on, a global trial has its
    monitor, and one that a person chose runs as long as that person expects. It ends once a margin is below 0. With
    `early_end: [settled]` it ends as well once half the width of the objective's confidence sequence is at most half
    the declared `noise_std`, which stands for the noise between trials (at the objective expected there, as the
    modelled scale may be curved), and a tenth of the horizon was walked, so that the margins can be extrapolated; with
    `dominated` once it cannot reach `trial.dominated` any more, after as long. Where margins of several scenarios are
    not those of the worst, one below 0 decides nothing.
    """
    if trial.phase != "local" or not study.constraints:
        return None
    if study.scenarios is not None and study.scenarios.margins != "worst":
        return None
    margins = tuple(quantity_of(c) for c in study.constraints)
    expected = trial.predicted.get(study.objective.name)
    least = (study.horizon or 0.0) / LARGEST_FACTOR
    rule = EarlyEnd(margins, dominated=trial.dominated, least=0.0 if trial.dominated is None else least)
    if "settled" not in study.early_end or expected is None:
        return rule
    warp, half = WarpMap(study.objective.warp, study.objective.name), 0.5 * study.objective.noise_std
    at = float(warp.forward(expected.mean))
    width = 0.5 * float(warp.inverse(at + half) - warp.inverse(at - half))
    return replace(rule, settled=width, least=least)
