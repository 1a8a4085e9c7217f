"""A shipped study on a robot that nobody told: a draw of what identification looks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from safebo.experiments.evidence.identification import hidden
from safebo.robots.descriptions.model import load_robot
from safebo.robots.identification.parameters import Family
from safebo.study.reading import load_study


def hidden_study(study: str, number: int, changes: Mapping[str, Any] | None = None) -> str:
    """The text of a study whose robot has the parameters of a draw, and a delay of 0 to 2 ticks.

    Args:
        study: its name; of the `legged` evaluator.
        number: of the draw.
        changes: options of its evaluator that are changed.
    """
    data = load_study(study).study.model_dump(mode="json", exclude_unset=True)
    family = Family.of(load_robot(data["evaluator"]["options"]["robot"]).size)
    truth = family.disturbance(hidden(family, number))
    gap = {
        name: list(value) if isinstance(value, tuple) else value
        for name in dict.fromkeys(p.field for p in family.parameters)
        for value in [getattr(truth, name)]
    }
    data["evaluator"]["options"] |= {"disturbance": gap | {"control_delay": number % 3}, **(changes or {})}
    return yaml.safe_dump(data, sort_keys=False)
