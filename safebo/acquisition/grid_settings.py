"""Settings of a tuner on a grid that most problems leave as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from safebo.models.trust import TrustRule
from safebo.safety.sets import ExpanderRule
from safebo.study import ConfidenceSpec, TransductiveSpec


@dataclass(frozen=True)
class GridSettings:
    """What most problems leave as it is.

    Args:
        prior_means: of the functions, one each; 0 when None.
        seed: of everything drawn.
        device: where the grid lives and everything is computed.
        lipschitz: Lipschitz constants in the units of the grid, one per function; None for tests by a
            hallucinated observation.
        certificate: `bounds`, or `lipschitz` and `measured` (see `safebo.safety.certificates`), which need `lipschitz`.
        measured_noise: largest possible noise, one per function, for `measured`.
        rule: whether an expander must satisfy all constraints at once or any.
        epsilon: widths under it, in prior standard deviations, count as known.
        minimal_width: no expander is sought where every function is known more precisely than this.
        strict: lower bounds must lie above the thresholds, not on them.
        stage_trials: observations after which StageOpt stops to expand.
        optimism: see `safebo.acquisition.AcquisitionContext`.
        transductive: what transductive rules learn about.
        trust: when priors are believed (`safebo.models.trust`); None where they are taken as given.
        intersect: keep every interval inside those after fewer observations (equations 7 and 8 of Widmer et al. 2023),
            whatever beta is given as; a `ConfidenceSpec` says it by its own `intersect` too. For Gaussian noise, priors
            taken as given, and not for the schedule `posterior`.
        ties: points whose scores are equal within a relative 1e-9 are told apart by `seed`, or the lowest row of the
            grid comes first (and round-off decides).
        noise_degrees: of every function, degrees of freedom of noise with a Student distribution
            (`safebo.models.student_noise`), or None where it is Gaussian; None where all is.
    """

    prior_means: Sequence[float] | Tensor | None = None
    seed: int = 0
    device: torch.device | str = "cpu"
    lipschitz: Sequence[float] | Tensor | None = None
    certificate: Literal["bounds", "lipschitz", "measured"] = "bounds"
    measured_noise: Sequence[float] | Tensor | None = None
    rule: ExpanderRule = "all"
    epsilon: float = 0.0
    minimal_width: float = 0.0
    strict: bool = False
    stage_trials: int | None = None
    optimism: float | None = None
    transductive: TransductiveSpec = field(default_factory=TransductiveSpec)
    trust: TrustRule | None = None
    intersect: bool = False
    ties: Literal["seed", "lowest"] = "seed"
    noise_degrees: Sequence[float | None] | None = None

    def not_intersected(self, spec: ConfidenceSpec | None) -> str:
        """Why intervals of different times cannot be intersected; empty where they can."""
        if any(degrees is not None for degrees in self.noise_degrees or ()):
            return (
                "later trials may show that earlier intervals rested on an outlier: leave noise_degrees out"
            )
        if self.trust is not None:
            return "a prior that is earned changes earlier intervals: leave trust out"
        if spec is not None and spec.schedule == "posterior":
            return "the schedule posterior promises intervals of its own trial alone: take another one"
        return ""
