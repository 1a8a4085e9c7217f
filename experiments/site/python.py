"""The page of the names that `import safebo` gives, from their list; what each says is its docstring's."""

from __future__ import annotations

import importlib

import safebo

HEAD = """\
# Python

<!-- written by `python -m safebo.experiments.site` from safebo/__init__.py; what is said is in the docstrings -->

What `import safebo` gives; each name is loaded when it is first used. [safebo in Python](in-python.md) shows them at
work. Everything else is found under the modules of [the architecture](architecture.md), with docstrings of its own.
"""

CHAPTERS = {
    "Studies and tuners": (
        "load_study",
        "Study",
        "Tuner",
        "Trial",
        "Measurement",
        "Bounds",
        "Certificate",
        "Recommendation",
    ),
    "Runs": ("run", "open_run", "Run", "recommend", "build_report"),
    "Evaluators": ("Evaluator", "EvaluatorInfo"),
    "Methods": ("METHODS", "Method", "register_method"),
    "From plain tensors": ("GridTuner", "GridSafeOpt"),
}
"""Names in the order in which one meets them. Errors follow by themselves, and so does what is missing here."""


OPTIONS = {
    "Study": "    options: {members: false}\n\nIts keys are those of [the study file](study-file.md).\n"
}
"""What is said differently of some."""


def python_page() -> str:
    """The page, in Markdown with mkdocstrings' lines."""
    places: dict[str, str] = vars(safebo)["_MODULE_OF"]
    known = {name for names in CHAPTERS.values() for name in names}
    errors = sorted(name for name, module in places.items() if module == "safebo.errors")
    more = sorted(set(places) - known - set(errors))
    chapters = {**CHAPTERS, **({"More": tuple(more)} if more else {}), "Errors": tuple(errors)}
    parts = [HEAD]
    for title, names in chapters.items():
        parts.append(f"## {title}\n")
        parts += [f"::: {_home(places[name], name)}\n{OPTIONS.get(name, '')}" for name in names]
    return "\n".join(parts)


def _home(module: str, name: str) -> str:
    """The dotted name of where a thing is defined: what is passed on by a package is shown from there."""
    value = getattr(importlib.import_module(module), name)
    return f"{getattr(value, '__module__', module)}.{name}"
