"""Whether the objective reached values that its warp no longer tells apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from safebo.report.data import RunView, objective_of
from safebo.study.preference_checks import prefers
from safebo.study.space import WarpMap

FEWEST = 3
"""Clipped trials from which on it is said: one may be an outlier."""


def clipped(run: RunView) -> Iterator[tuple[str, str]]:
    """Sentences on trials whose objective was clipped, and what to do about it.

    `warp.clip` ends the tails of a logarithm. Where good trials lie beyond it the tuner takes them for equal, and
    improves no further.
    """
    spec = run.study.objective
    if prefers(run.study):
        return
    warp = WarpMap(spec.warp, spec.name)
    clip = spec.warp.clip
    ends = f"[{clip[0]:g}, {clip[1]:g}]" if isinstance(clip, tuple) else f"{clip:g}"
    values = np.array([v for e in run.records if (v := objective_of(e)) is not None])
    for side, words in ((1.0, "better"), (-1.0, "worse")):
        end = warp.ends[side > 0]
        beyond = int((side * warp.forward(values) >= side * end).sum()) if len(values) else 0
        if beyond < FEWEST:
            continue
        limit = f"{float(warp.inverse(end)):.3g} {spec.unit}".rstrip()
        yield (
            f"{beyond} of {len(values)} trials have {spec.name} at {limit} or {words}, where it is clipped "
            f"(objective.warp.clip {ends}): the tuner sees no difference between them.",
            "Widen objective.warp.clip, or choose another scale, and go on with the trials that are there "
            "(`safebo tune --continue`).",
        )
