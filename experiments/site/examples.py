"""The page of the examples, from their first lines."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "examples"

HEAD = """\
# Examples

<!-- written by `python -m safebo.experiments.site` from the first lines of docs/examples/*.py: change them there -->

Each file is short, has its own problem in it, runs by itself in seconds and prints what it found; copy one and change
it. `SAFEBO_EXAMPLE_TRIALS=5` makes any of them shorter.

"""

CHAPTERS = {
    "Begin here": ("ask_and_tell", "several_margins", "preferences", "parameter_constraint", "notebook"),
    "Controllers": ("drone_pid", "arm_impedance", "cascaded_motor", "lqr_weights", "mpc_horizon", "choices"),
    "What a trial is": ("stl_margin", "early_end", "contexts", "several_at_once", "subprocess_evaluator"),
    "What is known beforehand": (
        "previous_trials_csv",
        "prior_from_simulation",
        "identified_robot",
        "earned_kernel",
        "drifting_robot",
    ),
    "With other packages": (
        "gymnasium_cart_pole",
        "optuna_sampler",
        "pandas_export",
        "botorch_safe_acquisition",
    ),
    "For researchers": ("plain_tensors", "my_acquisition", "my_task"),
}
"""Files by chapter, without their ending."""


def first_line(file: Path) -> str:
    """What an example says it shows: its docstring's first line, or the heading of a notebook."""
    text = file.read_text(encoding="utf-8")
    found = ast.get_docstring(ast.parse(text))
    if found is None:
        heading = re.search(r"^# # (.*)$", text, re.M)
        return heading[1] if heading else file.stem
    return re.split(r"[,:] (?:copy this|change)", found.split("\n\n")[0].split("\n")[0])[0]


def examples_page() -> str:
    """The page, in Markdown."""
    listed = [name for names in CHAPTERS.values() for name in names]
    rest = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in listed)
    chapters = {**CHAPTERS, **({"More": tuple(rest)} if rest else {})}
    parts = [HEAD]
    for title, names in chapters.items():
        parts.append(f"## {title}\n\n| file | what it shows |\n|---|---|\n")
        parts += [
            f"| [{name}.py](examples/{name}.py) | {first_line(FOLDER / f'{name}.py').replace('|', '&#124;')} |\n"
            for name in names
        ]
        parts.append("\n")
    return "".join(parts) + AT_THE_END


AT_THE_END = """\
## Whole projects

- [python_controller](examples/python_controller/walker.py): a class that walks a quadruped, with its study.
- [policy](examples/policy/policy.yaml): a learned policy (ONNX) under tuned joint gains, with its study.
- [trot_mpc](examples/trot_mpc/trot_mpc.cpp): a predictive controller in C++ as a process of its own.
- [relayed_controller](examples/relayed_controller/controller.py): a controller behind the guardian; ROS 2 beside it.
- [link_client](examples/link_client): a client of the guardian's link in C++.
"""
