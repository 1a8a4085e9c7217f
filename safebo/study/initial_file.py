"""A study file as `safebo init` writes it: every number with a comment that says where it came from. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from safebo.study import Warp
from safebo.study.checks import LARGEST
from safebo.study.initial import (
    CLIP,
    DECADE,
    LONGEST,
    OPTIMISM,
    SEED_STDS,
    Beliefs,
    FunctionBelief,
    Shown,
    beta_for,
)

LOGARITHMIC = (
    f"# `scale: log`, where bounds are {DECADE:g} times apart or more unless you say otherwise: ratios count."
)


@dataclass(frozen=True)
class Wishes:
    """What a user says of a study that does not exist yet.

    Args:
        name: of the study.
        evaluator: name of the evaluator.
        options: its options.
        parameters: one mapping each, with the keys of a study file.
        seed: gains known to be safe, by name.
        objective: name of what is maximised.
        margins: names of what is safe when >= 0.
        quantities: what the evaluator calls a function, by its name here, where that differs.
        changes: by margin, how much it usually changes over the box, in its unit.
        trials: length of a run, the first measurements included.
        random_seed: of everything random.
    """

    name: str
    evaluator: str
    parameters: Sequence[Mapping[str, Any]]
    seed: Mapping[str, Any]
    objective: str
    margins: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    quantities: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, float] = field(default_factory=dict)
    trials: int = 25
    random_seed: int = 0


def study_text(wishes: Wishes, beliefs: Beliefs | None = None, seen: Sequence[Shown] = ()) -> str:
    """The text of the study file; without beliefs that of a provisional one, to find and check the evaluator."""
    lines = [f"name: {_flow(wishes.name)}", "evaluator:", f"  name: {_flow(wishes.evaluator)}"]
    if wishes.options:
        lines.append(f"  options: {_flow(dict(wishes.options))}")
    if seen:
        lines += ["", *_trial_comments(seen)]
    lines += ["", "parameters:"]
    if beliefs is not None:
        lines[-1:] = [
            "# Lengthscales are fractions of a range. Each is what the steepest slope near the seed asks for, at most "
            f"{LONGEST:g}:",
            "# a flat place at the seed proves nothing about the rest. Safety rests on them: shorter is more cautious.",
            *([LOGARITHMIC] if any(p.get("scale") == "log" for p in wishes.parameters) else []),
            "parameters:",
        ]
    for parameter in wishes.parameters:
        told: dict[str, Any] = dict(parameter)
        if beliefs is not None and not told.get("choices"):
            told["lengthscale"] = _rounded(beliefs.lengthscales[parameter["name"]])
        lines.append(f"  - {_flow(told)}")
    lines += ["", "# Maximised."]
    lines += _function(
        wishes, wishes.objective, None if beliefs is None else beliefs.objective, "objective:", 2
    )
    lines += [
        "",
        "# Safe when >= 0. The prior mean is the limit: what was never tried is expected neither safe nor not.",
    ]
    lines.append("constraints:")
    for name in wishes.margins:
        belief = None if beliefs is None else beliefs.margins[name]
        lines += _function(wishes, name, belief, "", 4)
    beta = beta_for(wishes.trials, len(wishes.margins))
    lines += ["", "seeds:", f"  - parameters: {_flow(dict(wishes.seed))}", ""]
    lines += [
        "surrogate: {kernel: matern32}",
        "",
        "# `beta` certifies: bounds are mean -/+ beta * std. If the priors are right, some certified trial breaks a",
        "# limit with a probability of at most 5 %. `optimism` is a bonus for what is not known of the objective, from",
        "# the first trial to the last; it certifies nothing.",
        f"tuner: {{method: safe_ucb, beta: {beta:g}, optimism: {list(OPTIMISM)}}}",
        f"trials: {wishes.trials}",
        f"seed: {wishes.random_seed}",
        "",
    ]
    return "\n".join(lines)


def _trial_comments(seen: Sequence[Shown]) -> list[str]:
    """What was measured for this file."""
    lines = ["# Measured for this file (trials of the run that `safebo init` began):"]
    for number, trial in enumerate(seen, 1):
        gains = ", ".join(
            f"{n} {v}" if isinstance(v, str) else f"{n} {v:.6g}" for n, v in trial.parameters.items()
        )
        margins = ", ".join(f"{n} {v:.4g}" for n, v in trial.margins.items())
        lines.append(_comment(f"  {number}: {gains}: objective {trial.objective:.4g}; {margins}"))
    return lines


def _function(wishes: Wishes, name: str, belief: FunctionBelief | None, first: str, indent: int) -> list[str]:
    """The keys of one function."""
    margin = not first
    keys = [f"name: {_flow(name)}"]
    if name in wishes.quantities:
        keys.append(f"quantity: {_flow(wishes.quantities[name])}")
    if belief is not None:
        slopes = ", ".join(f"{p} {s:.3g}" for p, s in belief.slopes.items()) or "none measured"
        std = _rounded(belief.std)
        if margin:
            keys += [
                f"warp: {{clip: {_rounded(CLIP * belief.std)}}}  # {CLIP:g} prior_std, so that a fall is no outlier",
                "prior_mean: 0.0  # the limit",
                f"prior_std: {std}  # {belief.why}; the seed's mean is {belief.mean:.4g}, {SEED_STDS:g} of it or less",
            ]
        else:
            ends = [_rounded(v) for v in (belief.mean - belief.std, _out_of_reach(belief))]
            keys += [
                f"warp: {{clip: {ends}}}  # no lower than a prior_std under the seed, so that a spike is no outlier",
                f"prior_mean: {_rounded(belief.mean)}  # the seed's mean",
                f"prior_std: {std}  # {belief.why}",
            ]
        keys += [
            f"noise_std: {_rounded(belief.noise)}  # the repeats vary by {belief.shown:.2g}, too few to rely on",
            f"# slopes per whole range, {'less' if margin else 'with'} noise: {slopes}",
        ]
    if first:
        return [first, *(" " * indent + key for key in keys)]
    return [f"{' ' * (indent - 2)}- {keys[0]}", *(" " * indent + key for key in keys[1:])]


def _out_of_reach(belief: FunctionBelief) -> float:
    """An upper end of `warp.clip` that no objective comes near: the default, or one in its own scale."""
    return min(max(Warp().ends[1], 1e3 * (abs(belief.mean) + belief.std)), LARGEST)


def _comment(text: str) -> str:
    return "# " + " ".join(text.splitlines())


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _flow(value: Any) -> str:
    """A value as YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**9, sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
