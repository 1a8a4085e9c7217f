"""The study file's reference page and JSON schema, both written from the models. Loads no torch.

`docs/study-file.md` and `docs/study.schema.json` are what `safebo schema` prints; a test compares them.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import json
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from safebo.boundary.kernels import BUILT_IN
from safebo.errors import StudyError
from safebo.study.methods import METHODS, SAFE
from safebo.study.model import Study
from safebo.study.reading import parse_study

EXAMPLE = """\
# yaml-language-server: $schema=study.schema.json
name: cart
description: Feedback gains of a cart, for the least effort at an overshoot of at most 0.1 m.
evaluator:
  name: cart:step_response            # the function step_response(parameters, context) of cart.py beside this file
parameters:
  - {name: kp, unit: N/m, bounds: [1, 100], scale: log}
  - {name: kd, unit: N s/m, bounds: [0.1, 10], scale: log}
objective: {name: effort, unit: N^2 s, warp: {kind: log, scale: 50, upper: 0}, prior_std: 1.0, noise_std: 0.05}
constraints:
  - {name: overshoot, unit: m, warp: {scale: 0.1}, prior_std: 1.0, noise_std: 0.02}
seeds:
  - parameters: {kp: 4, kd: 2}
surrogate: {kernel: matern52, lengthscale: 0.4}
tuner: {method: safeopt, beta: 3.0}
trials: 30
"""
"""A whole study, short. What it leaves out has defaults."""

BROKEN = (("[1, 100]", "[0, 100]"), ("kind: log", "kind: logarithm"), ("{kp: 4, kd: 2}", "{kp: 4, ki: 2}"))
"""Three mistakes in it, for the page."""

HEAD = """\
# The study file

<!-- written by `safebo schema docs/study-file.md --page` from the models in safebo/study: change it there -->

A study is one YAML file: which gains may change, what is good, what is safe, and how to search. A short one:

```yaml
{example}```

`safebo tune cart.yaml` runs it. Its evaluator is a function that returns
`{{"objective": -effort, "margins": {{"overshoot": 0.1 - overshoot}}}}`: the objective is maximised, and a margin is
safe when it is at least zero. [go1-trot.yaml](../experiments/studies/go1-trot.yaml) is a longer one with comments.

## In an editor

The first line above gives editors that know JSON schemas (VS Code with the YAML extension, Neovim, Emacs, JetBrains)
completion, descriptions and marks under wrong keys and values. `safebo schema study.schema.json` writes the schema,
with the names of all evaluators that are installed; [study.schema.json](study.schema.json) has those of safebo alone.

## Where errors come from

`safebo tune` refuses a study before anything runs, names every mistake with its line, and ends with exit code 2:

```
{errors}
```

1. The YAML itself: a key that is there twice, a number that is not finite, an alias that contains itself. Scalars
   follow YAML 1.2: `yes` and `on` are texts, `1e-3` is a number.
2. Keys and values, as below: unknown keys, wrong types, numbers outside their limits. A schema finds these too.
3. Keys that contradict each other or name what does not exist (`safebo.study.checks`): bounds, contexts, seeds,
   lengths of lists, methods and what belongs to them. Only loading the study finds these.
4. The evaluator: names of gains, context variables, objectives and margins that it does not know, bounds that it does
   not accept, options that it refuses.

Mistakes of the first kind that make a file unreadable are named alone; otherwise 1 to 3 come together, then 4.

## Terms

*Unit cube*: parameters and context variables, each mapped to [0, 1] by its bounds and scale; lengthscales and distances
between parameters are measured in it. *Warped*: on the scale to which `warp` maps a function; priors, noise,
confidence bounds and Lipschitz constants are on it. "Left out" is a key that is not there or `null`.
"""


def study_schema() -> dict[str, Any]:
    """The JSON schema of a study file (draft 2020-12), with the names of installed evaluators and of all methods.

    What it refuses, `load_study` refuses too; the reverse does not hold, as a schema cannot compare keys.
    """
    schema = Study.model_json_schema()
    evaluators = [point.name for point in importlib.metadata.entry_points(group="safebo.evaluators")]
    # Other spellings and names are allowed: hyphens in a method's, `module:attribute` for an evaluator, and kernels
    # of other packages.
    for model, key, names in (
        ("EvaluatorSpec", "name", [*sorted(set(evaluators)), "subprocess"]),
        ("TunerSpec", "method", list(METHODS)),
        ("TunerSpec", "local_method", list(SAFE)),
        ("SurrogateSpec", "kernel", [kernel.name for kernel in BUILT_IN]),
        ("BackupSpec", "state_kernel", [kernel.name for kernel in BUILT_IN]),
    ):
        known = schema["$defs"][model]["properties"][key]
        known["anyOf"] = [{"enum": names}, {"type": known.pop("type")}]
    tidy: dict[str, Any] = _tidied(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **tidy, "title": "safebo study"}


def study_page() -> str:
    """The reference page, in Markdown: an example, where errors come from, every key, every method."""
    broken = EXAMPLE
    for right, wrong in BROKEN:
        broken = broken.replace(right, wrong)
    try:
        parse_study(broken)
    except StudyError as error:
        errors = str(error).replace("study:", "cart.yaml:").replace("study has", "cart.yaml has")
    lines = [HEAD.format(example=EXAMPLE, errors=errors)]
    schema = study_schema()
    places = _places()
    anchors = {model.__name__: _anchor(_heading(paths)) for model, paths in places.items()}
    for model, paths in places.items():
        lines += [f"## {_heading(paths)}", "", inspect.cleandoc(model.__doc__ or ""), ""]
        lines += ["| key | value | default | meaning |", "|---|---|---|---|"]
        properties = (schema if model is Study else schema["$defs"][model.__name__])["properties"]
        for key, info in model.model_fields.items():
            value = _value(properties[key], anchors)
            meaning = " ".join((info.description or "").split())
            lines.append(f"| `{key}` | {value} | {_default(info)} | {meaning} |")
        lines.append("")
    lines += ["## Methods", "", "What `tuner.method` names. " + " ".join(PROMISES), ""]
    lines += ["| method | while it learns | brings along | what it does |", "|---|---|---|---|"]
    for m in METHODS.values():
        brings = [
            f"`{key}: {value}`"
            for key, value in (("certificate", m.certificate), ("confidence.schedule", m.schedule))
            if value
        ]
        lines.append(f"| `{m.name}` | {m.safety} | {', '.join(brings)} | {m.summary} |")
    return "\n".join(lines) + "\n"


PROMISES = (
    "*Certified*: every trial but the seeds lies in the certified set.",
    "*Watched*: so do all but the global trials, which a monitor ends by switching to safe gains.",
    "All others promise nothing and are for comparison in simulation.",
)


def _places() -> dict[type[BaseModel], list[str]]:
    """Every model of a study, in the order of the file, with the key paths under which it stands."""
    places: dict[type[BaseModel], list[str]] = {}

    def visit(model: type[BaseModel], path: str) -> None:
        places.setdefault(model, []).append(path)
        for key, info in model.model_fields.items():
            for inner, mark in _models(info.annotation):
                visit(inner, f"{path}.{key}{mark}".removeprefix("."))

    visit(Study, "")
    return places


def _models(kind: Any, mark: str = "") -> Iterator[tuple[type[BaseModel], str]]:
    """Models inside a type, with `[]` for those in a list."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind, mark
    for part in get_args(kind):
        yield from _models(part, "[]" if getattr(kind, "__origin__", None) is list else mark)


def _heading(paths: list[str]) -> str:
    return "Top level" if paths == [""] else ", ".join(f"`{path}`" for path in paths)


def _anchor(heading: str) -> str:
    """The fragment under which a page of GitHub or MkDocs has a heading."""
    kept = (c for c in heading.lower() if c.isalnum() or c in " -_")
    return "".join(kept).replace(" ", "-")


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    if info.default_factory_takes_validated_data:
        return "see there"
    value = info.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "as there"
    if value is None:
        return "left out"
    if value in ("", [], {}):
        return "empty"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _value(schema: dict[str, Any], anchors: dict[str, str]) -> str:
    """What a key takes, in words."""
    if "$ref" in schema:
        return f"[mapping](#{anchors[schema['$ref'].split('/')[-1]]})"
    if "anyOf" in schema:
        return " or ".join(
            _value(s, anchors) for s in schema["anyOf"] if s.get("type") != "null" and "enum" not in s
        )
    if "enum" in schema:
        return ", ".join(f"`{name}`" for name in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        inner, least, most = _value(schema["items"], anchors), schema.get("minItems"), schema.get("maxItems")
        if least and least == most:
            return f"{schema.get('x-written', '[lower, upper]')}, {inner.replace('number', 'numbers', 1)}"
        return f"list of {inner}" + (f", at least {least}" if least else "")
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"mapping of names to {_value(values, anchors)}" if isinstance(values, dict) else "mapping"
    word = {"integer": "whole number", "string": "text", "boolean": "`true` or `false`"}.get(kind, kind)
    signs = (("exclusiveMinimum", ">"), ("minimum", ">="), ("exclusiveMaximum", "<"), ("maximum", "<="))
    limits = [
        f"{sign} {schema[key]:{'g' if schema[key] < 1000 else ','}}" for key, sign in signs if key in schema
    ]
    return " ".join([word, ", ".join(limits)]).strip()


def _tidied(value: Any) -> Any:
    """Descriptions as one line each, without the examples in Python."""
    if isinstance(value, dict):
        return {
            key: " ".join(item.partition("Example:")[0].split())
            if key == "description" and isinstance(item, str)
            else _tidied(item)
            for key, item in value.items()
        }
    return [_tidied(item) for item in value] if isinstance(value, list) else value
