"""Study files: from YAML to a `Study`; errors name file, line, key, what was wrong and what is allowed."""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from safebo.errors import EvaluatorOptionError, FileError, StudyError
from safebo.files.problems import (
    KeyPath,
    Problem,
    did_you_mean,
    key_path_text,
    leaves,
    problem_lines,
    shortened,
    shown,
)
from safebo.files.reading import parse, read_text
from safebo.study import Study
from safebo.study.checks import cross_field_problems
from safebo.study.evaluator_checks import evaluator_problems, option_problem
from safebo.types import EvaluatorInfo

ENTRY_POINTS = "safebo.studies"
_MAX_EXPLAINED = 100
"""Problems up to which each is explained, and the rest of the study checked as well."""


@dataclass(frozen=True)
class StudyFile:
    """A study and where each of its keys stands.

    Args:
        study: the study.
        text: the file's text.
        path: the file; None for a study made in Python.
        lines: line (from 1) of each key path.
    """

    study: Study
    text: str
    path: Path | None = None
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """Where the study came from, for people."""
        return str(self.path) if self.path else f"study {self.study.name!r}"

    @property
    def folder(self) -> str | None:
        """The folder beside which an evaluator's module is looked for."""
        return str(self.path.resolve().parent) if self.path else None

    def error(self, problems: Sequence[Problem]) -> StudyError:
        """The error that lists `problems`, each with its line."""
        return _study_error(self.source, self.lines, problems)

    def check_evaluator(self, info: EvaluatorInfo) -> None:
        """Raise `StudyError` for every name that the evaluator does not know."""
        if problems := list(evaluator_problems(self.study, info)):
            raise self.error(problems)

    def option_error(self, error: EvaluatorOptionError) -> StudyError:
        """The error for an evaluator that does not exist or refuses its options."""
        return self.error([option_problem(error)])


def check_study(study: Study, info: EvaluatorInfo | None = None) -> None:
    """The checks of a study file for one that was made in Python, values that its types do not allow included.

    Args:
        study: the study.
        info: what its evaluator knows; None where that is not known yet.

    Raises:
        StudyError: with every problem found.
    """
    _, problems = _problems_of(study.model_dump(mode="json", warnings=False))
    if not problems and info is not None:
        problems = list(evaluator_problems(study, info))
    if problems:
        raise StudyFile(study, "").error(problems)


def study_in_python(study: Study) -> StudyFile:
    """A study made in Python, checked like a file.

    Raises:
        StudyError: with every problem found.
    """
    check_study(study)
    return StudyFile(study, yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False))


def registered_studies() -> list[str]:
    """Names of the studies that installed packages ship."""
    return sorted({point.name for point in importlib.metadata.entry_points(group=ENTRY_POINTS)})


def is_shipped(path: str, name: str) -> bool:
    """Whether a file is the one that an installed package ships as the study of this name."""
    return name in registered_studies() and Path(path).resolve() == resolve_study(name).resolve()


def resolve_study(name_or_path: str | Path) -> Path:
    """The file of a study given by its name or its path.

    Raises:
        StudyError: no such study and no such file.
    """
    text = str(name_or_path)
    path = Path(text)
    if not text.strip():
        raise StudyError(
            "the study's name is blank; give the name of a shipped study, or the path of a study file"
        )
    looks_like_path = isinstance(name_or_path, Path) or "/" in text or path.suffix in (".yaml", ".yml")
    if not looks_like_path:
        for point in importlib.metadata.entry_points(group=ENTRY_POINTS, name=text):
            try:
                value = point.load()
                return Path(value() if callable(value) else value)
            except Exception as error:
                raise StudyError(f"study {text!r} ({point.value}) cannot be loaded: {error}") from error
    if looks_like_path or os.path.exists(path):
        return path
    raise StudyError(f"no study and no file {shown(text)}{did_you_mean(text, registered_studies())}")


def load_study(name_or_path: str | Path) -> StudyFile:
    """Read and check a study file; the evaluator is not asked yet (see `StudyFile.check_evaluator`).

    Raises:
        StudyError: with every problem found.

    Example:
        >>> load_study("pendulum").study.parameters[0].bounds
        (-7.0, 6.0)
    """
    path = resolve_study(name_or_path)
    try:
        text = read_text(path)
    except FileError as error:
        raise StudyError(str(error)) from error
    return parse_study(text, path)


def parse_study(text: str, path: Path | None = None) -> StudyFile:
    """A study from the text of its file. See `load_study`."""
    source = str(path) if path else "study"
    try:
        document = parse(text, source)
    except FileError as error:
        raise StudyError(str(error)) from error
    data, problems = document.data, document.problems
    if data is None and not problems:
        required = [name for name, info in Study.model_fields.items() if info.is_required()]
        raise StudyError(f"{source}: is empty; a study needs {', '.join(required)}")
    if not isinstance(data, dict):
        told = problems or [
            Problem((), f"must be a mapping of keys (name, evaluator, ...), not {shown(data)}")
        ]
        raise _study_error(source, document.lines, told)
    study, problems = _problems_of(data, problems)
    if problems or study is None:
        raise _study_error(source, document.lines, problems)
    return StudyFile(study, text, path, document.lines)


_FREE_TO_CHANGE = (("evaluator", "time_limit"), ("evaluator", "tries"))
"""Keys that decide how trials are run and not what is tried."""


def study_hash(study: Study) -> str:
    """A hash of everything in a study that decides what is tried; descriptions do not count."""
    return hashlib.sha256(json.dumps(flatten(study), sort_keys=True).encode()).hexdigest()


def flatten(study: Study) -> dict[str, Any]:
    """Every value of a study that decides what is tried, by its key path."""
    found = leaves(study.model_dump(mode="json"))
    return {
        key_path_text(path): value
        for path, value in found
        if "description" not in path and path not in _FREE_TO_CHANGE
    }


def changed_keys(before: Study, after: Study) -> list[str]:
    """One line for each key in which two studies differ: `parameters[0].bounds[1]: 80.0 -> 90.0`."""
    old, new = flatten(before), flatten(after)
    lines = []
    for key in {**old, **new}:
        if key not in old or key not in new or old[key] != new[key]:
            was = repr(old[key]) if key in old else "was not there"
            lines.append(f"{key}: {was} -> {repr(new[key]) if key in new else 'is gone'}")
    return lines


def _problems_of(data: dict[str, Any], known: Sequence[Problem] = ()) -> tuple[Study | None, list[Problem]]:
    """The study of some data and everything wrong with it, what is `known` already first: the one check of a study."""
    study, found = _validate(data)
    problems = [*known, *found]
    if study is not None:
        broken = {problem.path for problem in problems}
        problems += [p for p in cross_field_problems(study) if not _touches(p.path, broken)]
    return study, problems


def _validate(data: dict[str, Any]) -> tuple[Study | None, list[Problem]]:
    """The study and its problems; where a problem can be set aside, the rest is still checked."""
    try:
        return Study.model_validate_json(json.dumps(data), strict=True), []
    except ValidationError as error:
        found = [dict(item) for item in error.errors(include_url=False)]
        # What follows from a key that is wrong itself is told there.
        errors: list[dict[str, Any]] = [e for e in found if e["type"] != "default_factory_not_called"]
    if len(errors) > _MAX_EXPLAINED:
        told = [_problem(item, data) for item in errors[:_MAX_EXPLAINED]]
        return None, [*told, *(Problem(tuple(item["loc"]), item["msg"]) for item in errors[_MAX_EXPLAINED:])]
    pruned = json.loads(json.dumps(data))
    problems, misspelt = [], set()
    for item in errors:
        path = _real_path(item["loc"], data)
        wrong = _misspelt(path, data) if item["type"] == "missing" else None
        if wrong is None:
            problems.append(_problem(item, data))
        else:
            # One mistake, told once: the key under its wrong name, which is unknown.
            parent = _at(pruned, path[:-1])
            parent[path[-1]] = parent.get(wrong)
            misspelt.add(path)
    for item in errors:
        path = _real_path(item["loc"], data)
        if path not in misspelt:
            _remove(pruned, path)
    if "constraints" not in data and (wrong := _misspelt(("constraints",), data)) is not None:
        pruned["constraints"] = data[wrong]  # a study may have none, so that the key is not missed by itself
    try:
        return Study.model_validate_json(json.dumps(pruned), strict=True), problems
    except ValidationError:
        return None, problems


def _problem(error: dict[str, Any], data: Any) -> Problem:
    loc = _real_path(error["loc"], data)
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        fields = _fields_at(loc[:-1])
        return Problem(loc, f"unknown key {shown(loc[-1])}{did_you_mean(loc[-1], fields)}")
    if kind == "missing" and isinstance(loc[-1], int):
        return Problem(
            loc[:-1], f"must be two numbers [lower, upper], not {shortened(str(_at(data, loc[:-1])))}"
        )
    if kind == "missing":
        return Problem(loc, f"the key {error['loc'][-1]!r} is missing")
    given, names = shown(value), context.get("expected", "").replace("'", "")
    messages = {
        "float_type": f"must be a number, not {given}{_point(value)}",
        "int_type": f"must be a whole number, not {given}",
        "string_type": f"must be a text, not {given}",
        "bool_type": f"must be true or false, not {given}",
        "list_type": f"must be a list, not {given}",
        "tuple_type": f"must be a list of two numbers [lower, upper], not {given}",
        "dict_type": f"must be a mapping, not {given}",
        "model_type": f"must be a mapping of keys ({', '.join(_fields_at(loc))}), not {given}",
        "model_attributes_type": f"must be a mapping of keys ({', '.join(_fields_at(loc))}), not {given}",
        "literal_error": f"must be {names}, not {given}",
        "greater_than": f"must be > {context.get('gt')}, not {given}",
        "greater_than_equal": f"must be >= {context.get('ge')}, not {given}",
        "less_than": f"must be < {context.get('lt')}, not {given}",
        "less_than_equal": f"must be <= {context.get('le')}, not {given}",
        "too_short": f"needs at least {context.get('min_length')}, has {context.get('actual_length')}",
        "too_long": f"takes at most {context.get('max_length')} values, has {context.get('actual_length')}",
    }
    return Problem(loc, messages.get(kind, f"{error['msg']}, not {given}"))


def _point(value: Any) -> str:
    """What to write instead of a decimal comma."""
    comma = isinstance(value, str) and re.fullmatch(r"\s*[-+]?\d{1,20},\d{1,20}\s*", value, re.ASCII)
    return f" (write a decimal point: {value.strip().replace(',', '.')})" if comma else ""


def _misspelt(path: KeyPath, data: Any) -> str | None:
    """The unknown key beside a missing one that was probably meant for it."""
    parent, fields = _at(data, path[:-1]), _fields_at(path[:-1])
    if not isinstance(parent, dict):
        return None
    unknown = [key for key in parent if key not in fields]
    close = difflib.get_close_matches(str(path[-1]), unknown, n=1, cutoff=0.6)
    return close[0] if close else None


def _real_path(loc: Sequence[str | int], data: Any) -> KeyPath:
    """The part of pydantic's location that the file has, its last key kept even where it is missing."""
    path: list[str | int] = []
    # What is told of one of several kinds has the kind's tag in its place, as in (clip, <interval>, 1).
    loc = [part for part in loc if not str(part).startswith("<")]
    for index, part in enumerate(loc):
        inside = isinstance(data, dict) and part in data
        inside = inside or (isinstance(data, list) and isinstance(part, int) and part < len(data))
        if not inside and index < len(loc) - 1:
            break
        path.append(part)
        data = data[part] if inside else None
    return tuple(path)


def _fields_at(path: KeyPath) -> list[str]:
    """Keys that are allowed at a path of a study."""
    kind: Any = Study
    for part in path:
        kind = _inner(kind, part)
    model = _model(kind)
    return list(model.model_fields) if model else []


def _model(kind: Any) -> type[BaseModel] | None:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next((m for m in (_model(part) for part in get_args(kind)) if m), None)


def _inner(kind: Any, part: str | int) -> Any:
    """Type of the value under one key or index of a value of type `kind`."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        info = kind.model_fields.get(str(part))
        return info.annotation if info else None
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is dict:
        return arguments[1]
    if origin in (list, tuple):
        return arguments[0]
    return next((found for found in (_inner(a, part) for a in arguments) if found is not None), None)


def _at(data: Any, path: KeyPath) -> Any:
    for part in path:
        data = data[part]
    return data


def _remove(data: Any, path: KeyPath) -> None:
    with suppress(KeyError, IndexError, TypeError):
        parent = _at(data, path[:-1])
        if path and isinstance(parent, dict):
            parent.pop(path[-1], None)


def _touches(path: KeyPath, broken: set[KeyPath]) -> bool:
    """Whether a problem may only be an echo of one already told: on its path, above it or below it."""
    return any(path[: len(other)] == other or other[: len(path)] == path for other in broken)


def _study_error(source: str, lines: Mapping[KeyPath, int], problems: Sequence[Problem]) -> StudyError:
    number = len(set(problems))
    texts = problem_lines(source, lines, problems)
    return StudyError(f"{source} has {number:,} problem{'' if number == 1 else 's'}:", texts)
