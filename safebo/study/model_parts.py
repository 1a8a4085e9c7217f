"""What the models of a study are made of: strict objects, intervals, units and values of parameters."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
)
from pydantic_core import PydanticKnownError

Interval = Annotated[
    tuple[float, float],
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
]


def _pair(value: Any) -> Any:
    """A list as the tuple that a strict model takes also where it does not read JSON itself."""
    return tuple(value) if isinstance(value, list) else value


def _kind(value: Any) -> str:
    """The tag of a number or of a pair of them."""
    return "<interval>" if isinstance(value, list | tuple) else "<number>"


NumberOrInterval = Annotated[
    Annotated[float, Field(gt=0), Tag("<number>")]
    | Annotated[tuple[float, float], BeforeValidator(_pair), Tag("<interval>")],
    Discriminator(_kind),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
            ]
        }
    ),
]
"""A positive number, for both sides of 0 alike, or the two ends themselves."""


NumberOrChange = Annotated[
    Annotated[float, Field(ge=0), Tag("<number>")]
    | Annotated[
        tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]],
        BeforeValidator(_pair),
        Tag("<interval>"),
    ],
    Discriminator(_kind),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {
                    "x-written": "[first, last]",
                    "type": "array",
                    "items": {"type": "number", "minimum": 0},
                    "minItems": 2,
                    "maxItems": 2,
                },
            ]
        }
    ),
]
"""A number of at least 0, or the two between which it goes from the first trial to the last."""


def _number_or_name(value: Any) -> Any:
    """The value of a parameter: a float, or the name of a choice."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticKnownError("float_type")
    return float(value)


def plain_unit(unit: str) -> str:
    """A unit as it is printed: `1`, which says that there is none, is not."""
    return "" if unit == "1" else unit


Unit = Annotated[str, AfterValidator(plain_unit)]

ParameterValue = Annotated[
    Any, AfterValidator(_number_or_name), WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}]})
]
"""A number, or the name of a choice."""


class Strict(BaseModel):
    """An object that refuses unknown keys and does not change; the text under a key describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
