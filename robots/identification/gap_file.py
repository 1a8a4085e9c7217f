"""What was found, for people and as a file: a `disturbance` that studies take, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import yaml

from safebo.robots.identification.fit import Fit
from safebo.robots.identification.replay import GROUPS

INTERVAL = "90 % interval"
"""Of the heading over the estimates, by which a file of this kind is known."""
NORMAL_90 = 1.645
"""Standard errors to either side of a 90 % interval."""
STRONG = 0.7
"""Correlations from which on two parameters are named as a pair."""


def pairs(found: Fit) -> list[tuple[str, str, float]]:
    """Parameters that were only found together, the strongest correlation first; not entries of one field."""
    names, out = found.family.names, []
    for i in range(len(names)):
        for j in range(i):
            strength = float(found.correlation[i, j])
            if abs(strength) >= STRONG and names[i].split(".")[0] != names[j].split(".")[0]:
                out.append((names[j], names[i], strength))
    return sorted(out, key=lambda pair: -abs(pair[2]))


def told(found: Fit) -> list[str]:
    """Lines for people: every parameter with its 90 % interval, what was not told, and what is left over.

    Where the gap is not among the parameters there are no estimates: they would be wrong, and the verdict stands last.
    """
    ratios = ", ".join(f"{name} {found.ratios[where].max():.2f}" for name, where in GROUPS.items())
    left_over = [
        f"left over, in standard deviations of the sensors' noise: {ratios}",
        f"errors over strides are {np.median(found.inflation):.2f} times those within (median; intervals have them)",
    ]
    if found.outside:
        return [*left_over, f"THE GAP IS NOT AMONG THESE PARAMETERS: {found.outside}. No estimate is given."]
    lines = [f"{'parameter':22s} {'estimate':>9s}  {INTERVAL}"]
    for i, parameter in enumerate(found.family.parameters):
        value, half = found.values[i], NORMAL_90 * found.errors[i]
        low, high = max(parameter.lower, value - half), min(parameter.upper, value + half)
        known = "" if found.identified[i] else "   not told by these walks: mostly what was believed before"
        lines.append(f"{parameter.name:22s} {value:9.4g}  {low:.4g} .. {high:.4g} {parameter.unit}{known}")
    lines.append(f"{'control_delay':22s} {found.delay:9d}  ticks; {_delays(found)}")
    for first, second, strength in pairs(found)[:4]:
        lines.append(f"known only together: {first} and {second}, correlation {strength:.2f}")
    return [*lines, *left_over]


def _delays(found: Fit) -> str:
    return "tried " + ", ".join(f"{d} (cost {cost:.2f})" for d, cost in found.delay_costs.items())


def section(found: Fit) -> dict[str, Any]:
    """The disturbance as a study has it: the parameters that were looked for, and the delay."""
    gap, out = found.family.disturbance(found.values), dict[str, Any]()
    for field in dict.fromkeys(p.field for p in found.family.parameters):
        value = getattr(gap, field)
        out[field] = [_short(v) for v in value] if isinstance(value, tuple) else _short(value)
    out["control_delay"] = found.delay
    return out


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def gap_text(found: Fit, robot: str, walks: Sequence[str]) -> str:
    """The file: `disturbance` for `evaluator.options` of a study, and under `identified` how sure it is.

    Raises:
        ValueError: the gap is not among the parameters, so that there is nothing for a study to take.
    """
    if found.outside:
        raise ValueError(f"the gap is not among the parameters: {found.outside}")
    heading = [
        f"# Of {robot}, from {len(walks)} walks: {', '.join(walks)}",
        *(f"# {line}" for line in told(found)),
    ]
    data = {
        "disturbance": section(found),
        "identified": {
            "robot": robot,
            "names": list(found.family.names),
            "values": [_short(v) for v in found.values],
            "standard_errors": [_short(v) for v in found.errors],
            "identified": [bool(v) for v in found.identified],
            "covariance": [[_short(v) for v in row] for row in found.covariance],
        },
    }
    return (
        "\n".join(heading) + "\n" + yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=110)
    )
