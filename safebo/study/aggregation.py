"""How values of several scenarios become one number.

Every aggregation is the mean of the smallest values: of one (`worst`), of all (`mean`), of the worst share of them
(`cvar(a)`: of the `ceil((1 - a) S)` smallest of S; Rockafellar and Uryasev 2000). So it rises with each value, and
applied to lower bounds it gives a lower bound.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_CVAR = re.compile(r"cvar\((0?\.\d+)\)", re.ASCII)


def _share(rule: str) -> float | None:
    """The a of `cvar(a)`; None for a text that is none."""
    found = _CVAR.fullmatch(rule)
    return float(found[1]) if found and 0.0 < float(found[1]) < 1.0 else None


def _rule(rule: str) -> str:
    if rule not in ("worst", "mean") and _share(rule) is None:
        raise PydanticCustomError("aggregation", "must be worst, mean or cvar(a) with a between 0 and 1")
    return rule


Aggregation = Annotated[
    str,
    AfterValidator(_rule),
    WithJsonSchema({"anyOf": [{"enum": ["worst", "mean", "cvar(0.75)"]}, {"type": "string"}]}),
]
"""`worst`, `mean`, or `cvar(a)`: the mean of the worst `1 - a` of the scenarios."""


def kept(rule: str, scenarios: int) -> int:
    """How many of the smallest values of so many scenarios an aggregation takes the mean of."""
    if rule == "worst":
        return 1
    share = _share(rule)
    # A share that is a whole number of scenarios is one although floats say a little more.
    return scenarios if share is None else max(1, math.ceil((1.0 - share) * scenarios - 1e-9))


def aggregated(rule: str, values: Sequence[float]) -> float:
    """The one number that values of several scenarios become.

    Args:
        rule: `worst`, `mean` or `cvar(a)`.
        values: of the scenarios, larger is better, at least one.

    Example:
        >>> aggregated("cvar(0.5)", [3.0, 1.0, 2.0, 5.0])
        1.5
    """
    smallest = sorted(values)[: kept(rule, len(values))]
    return math.fsum(smallest) / len(smallest)
