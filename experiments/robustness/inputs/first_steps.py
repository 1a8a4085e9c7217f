"""What a person does before the first run and between two: `safebo check`, `safebo init`, `safebo tune --continue`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from safebo.experiments.robustness.inputs.record import STUDY, Row, faults_of, refused, safebo, tree

MODULE = """\
import os, sys
GOOD = {"objective": 0.5, "margins": {"height": 0.2}}
def fine(parameters, context, seed=0): return GOOD
def exits(parameters, context, seed=0): sys.exit(7)
def exits_now(parameters, context, seed=0): os._exit(7)
def raises(parameters, context, seed=0): raise RuntimeError("the motor is off")
def prints(parameters, context, seed=0):
    print("x" * 100_000, flush=True); print("noise", file=sys.stderr); return GOOD
def text(parameters, context, seed=0): return "done"
def nothing(parameters, context, seed=0): return None
def nan(parameters, context, seed=0): return {"objective": 0.5, "margins": {"height": float("nan")}}
def infinite(parameters, context, seed=0): return {"objective": float("inf"), "margins": {"height": 0.2}}
def no_margins(parameters, context, seed=0): return {"objective": 0.5}
def unsafe(parameters, context, seed=0): return {"objective": 0.5, "margins": {"height": -0.2}}
def falls(parameters, context, seed=0): return {"objective": None, "margins": {"height": -0.2}, "fell": True}
def no_arguments(): return GOOD
def huge(parameters, context, seed=0): return {"objective": 1e300, "margins": {"height": 1e300}}
not_a_function = 3
"""
"""`odd.py`, beside the study."""

BROKEN = {
    "broken_syntax": "def fine(:\n",
    "broken_exit": "import sys; sys.exit(3)\n",
    "broken_import": "import no_such_module_anywhere\n",
    "broken_raise": "raise ValueError('at import')\n",
    "broken_text": "\x00\x01\n",
}
"""Modules that cannot be imported."""

ENDINGS: dict[str, tuple[str, Sequence[int], str]] = {
    "a function that is fine": ("odd:fine", (0,), "seed"),
    "it calls sys.exit": ("odd:exits", (0, 1, 2), "seed"),
    "its process ends": ("odd:exits_now", (0, 1, 2), "seed"),
    "it raises": ("odd:raises", (0, 1, 2), "the motor is off"),
    "it prints 100,000 characters": ("odd:prints", (0,), "seed"),
    "it returns a text": ("odd:text", (0, 1, 2), "str"),
    "it returns nothing": ("odd:nothing", (0, 1, 2), "NoneType"),
    "a margin is NaN": ("odd:nan", (0, 1, 2), "height"),
    "the objective is infinite": ("odd:infinite", (0, 1, 2), "objective"),
    "no margins": ("odd:no_margins", (0, 1, 2), "height"),
    "the seed is unsafe": ("odd:unsafe", (1,), "height"),
    "the seed falls": ("odd:falls", (1,), "height"),
    "numbers of 1e300": ("odd:huge", (0, 1), "prior"),
    "it takes no arguments": ("odd:no_arguments", (1, 2), "no_arguments"),
    "it is no function": ("odd:not_a_function", (1, 2), "not_a_function"),
    "no such function": ("odd:nowhere", (1, 2), "nowhere"),
    "no such module": ("nowhere_at_all:fine", (1, 2), "nowhere_at_all"),
    **{f"module {name}": (f"{name}:fine", (1, 2), name) for name in BROKEN},
}
"""Evaluators under `safebo check`: function, exit codes that are right, and what the answer must name."""

CHECKS: dict[str, tuple[list[str], str]] = {
    "no study": (["check"], "STUDY"),
    "no such file": (["check", "nowhere.yaml"], "nowhere.yaml"),
    "an empty name": (["check", ""], "study"),
    "a folder": (["check", "empty"], "empty"),
    "a NUL": (["check", "a\0b"], "a"),
    "5,000 characters": (["check", "x" * 5000], "xxx"),
    "two studies": (["check", "study.yaml", "other.yaml"], "other.yaml"),
    "an option that is not": (["check", "study.yaml", "--seeds"], "--seeds"),
    "a study that is none": (["check", "odd.py"], "odd.py"),
}
"""Whole commands that must be refused."""

_WHOLE = {
    "--evaluator": "odd:fine",
    "--parameter": "k=0:10",
    "--seed": "k=3",
    "--objective": "objective",
    "--margin": "height",
}

INITS: dict[str, tuple[dict[str, str | None], str]] = {
    "nothing but a name, no terminal": (dict.fromkeys(_WHOLE), "--evaluator"),
    "no bounds": ({"--parameter": "k"}, "--parameter k"),
    "bounds of one number": ({"--parameter": "k=3"}, "--parameter k=3"),
    "bounds reversed": ({"--parameter": "k=10:0"}, "k"),
    "bounds of texts": ({"--parameter": "k=low:high"}, "--parameter k=low:high"),
    "bounds that are NaN": ({"--parameter": "k=nan:10"}, "--parameter k=nan:10"),
    "bounds that are infinite": ({"--parameter": "k=0:inf"}, "--parameter k=0:inf"),
    "a word after bounds that is not": ({"--parameter": "k=0:10:loud"}, "--parameter k=0:10:loud"),
    "log from 0": ({"--parameter": "k=0:10:log"}, "k"),
    "a seed without a value": ({"--seed": "k"}, "--seed k"),
    "a seed outside the bounds": ({"--seed": "k=30"}, "k"),
    "a seed of another gain": ({"--seed": "d=3"}, "d"),
    "a seed with a decimal comma": ({"--seed": "k=3,5"}, "k"),
    "a change of no margin": ({"--change": "tilt=1"}, "tilt"),
    "a change that is negative": ({"--change": "height=-1"}, "--change height=-1"),
    "a change that is NaN": ({"--change": "height=nan"}, "--change height=nan"),
    "0 trials": ({"--trials": "0"}, "--trials"),
    "one repeat": ({"--repeats": "1"}, "--repeats"),
    "an evaluator that is not": ({"--evaluator": "nowhere_at_all:fine"}, "nowhere_at_all"),
    "a function that is not": ({"--evaluator": "odd:nowhere"}, "nowhere"),
    "an evaluator and a program": ({"--program": "true"}, "--program"),
    "a program with an open quote": ({"--evaluator": None, "--program": "run 'x"}, "--program"),
    "an empty program": ({"--evaluator": None, "--program": " "}, "--program"),
    "an option without a value": ({"--option": "speed"}, "--option speed"),
    "an empty margin": ({"--margin": ""}, "constraints"),
    "an empty objective": ({"--objective": ""}, "objective"),
}
"""Changes to a whole `safebo init` that must be refused, None to leave an option out, and what the answer must name."""

INIT_ENDINGS: dict[str, tuple[str, Sequence[int], str]] = {
    "it calls sys.exit": ("odd:exits", (1, 2), ""),
    "its process ends": ("odd:exits_now", (1, 2), ""),
    "it raises": ("odd:raises", (1, 2), "the motor is off"),
    "it returns a text": ("odd:text", (1, 2), "str"),
    "a margin is NaN": ("odd:nan", (1, 2), "height"),
    "no margins": ("odd:no_margins", (1, 2), "height"),
    "the seed is unsafe": ("odd:unsafe", (1, 2), "height"),
    "the seed falls": ("odd:falls", (1, 2), "height"),
    "numbers of 1e300": ("odd:huge", (1, 2), "1e+300"),
}
"""Evaluators under `safebo init`: it must write nothing."""

CONTINUES: dict[str, tuple[str, list[str], str]] = {
    "no folder": (STUDY, ["--continue", "nowhere"], "nowhere"),
    "a file": (STUDY, ["--continue", "study.yaml"], "study.yaml"),
    "an empty folder": (STUDY, ["--continue", "empty"], "empty"),
    "a NUL": (STUDY, ["--continue", "a\0b"], "a"),
    "an empty name": (STUDY, ["--continue", ""], ".: holds no run"),
    "5,000 characters": (STUDY, ["--continue", "x" * 5000], "xxx"),
    "no value": (STUDY, ["--continue"], "--continue"),
    "another evaluator": (
        STUDY.replace("safebo.experiments.robustness.bowl:evaluate", "odd:fine"),
        ["--continue", "run"],
        "evaluator.name",
    ),
    "other options": (
        STUDY.replace("repeatable: true", "repeatable: true, ground: ice"),
        ["--continue", "run"],
        "evaluator.options.ground",
    ),
    "another unit": (STUDY.replace("N/m", "kN/m"), ["--continue", "run"], "parameters.stiffness.unit"),
    "another objective": (STUDY.replace("name: speed", "name: pace"), ["--continue", "run"], "pace"),
    "a margin that is new": (
        STUDY.replace("seeds:", "  - {name: tilt, unit: rad}\nseeds:"), ["--continue", "run"], "tilt",
    ),
    "--robot-changed alone": (STUDY, ["--robot-changed", "foot"], "--robot-changed"),
    "--robot-changed of spaces": (STUDY, ["--continue", "run", "--robot-changed", "  "], "--robot-changed"),
    "--moved alone": (STUDY, ["--moved", "height=1"], "--moved"),
    "--moved without an amount": (STUDY, ["--continue", "run", "--moved", "height"], "--moved"),
    "--moved by NaN": (STUDY, ["--continue", "run", "--moved", "height=nan"], "--moved"),
    "--moved by 1e999": (STUDY, ["--continue", "run", "--moved", "height=1e999"], "--moved"),
    "--moved of a margin that is not": (STUDY, ["--continue", "run", "--moved", "tilt=1"], "tilt"),
    "its own folder": (STUDY, ["--continue", "run", "--out", "run"], "run"),
    "with --resume of a run": (STUDY, ["--continue", "run", "--out", "run", "--resume"], "--continue"),
}  # fmt: skip
"""Studies and options of `safebo tune --continue` that must be refused, and what the answer must name."""


def first_steps(folder: Path) -> Iterator[Row]:
    """Everything here, in a folder with `study.yaml`, an empty folder `empty` and a run `run`."""
    (folder / "odd.py").write_text(MODULE)
    for name, text in BROKEN.items():
        (folder / f"{name}.py").write_text(text)
    for what, (words, name) in CHECKS.items():
        yield refused("`safebo check`", what, words, folder, [name])
    yield from _checked(folder)
    yield from _begun(folder)
    yield from _continued(folder)


def answered(
    kind: str, given: str, words: Sequence[str], folder: Path, codes: Sequence[int], names: Sequence[str]
) -> Row:
    """An input that a command may answer with some exit codes, naming some things and leaving nothing behind."""
    before = tree(folder)
    answer = safebo(words, folder)
    left = tree(folder) - before
    faults = [*faults_of(answer.text if answer.code else "", names if answer.code else ())]
    faults += [fault for fault in faults_of(answer.out) if fault in ("internal", "traceback")]
    faults += ["wrong"] * (answer.code not in codes) + ["left"] * bool(left)
    return Row(kind, given, answer.shown, ", ".join(sorted(left)) or "nothing", tuple(faults), answer.seconds)


def _checked(folder: Path) -> Iterator[Row]:
    """Evaluators that end oddly, and names in every script."""
    path = folder / "checked.yaml"
    for what, (name, codes, says) in ENDINGS.items():
        path.write_text(_study_of(name))
        yield answered("`safebo check`: evaluators", what, ["check", path.name], folder, codes, [says])
    for what, name in {"a study named in Greek": "βῆμα", "a study named by an emoji": "🐕"}.items():
        named = folder / f"{name}.yaml"
        named.write_text(_study_of("odd:fine").replace("name: bowl", f"name: {name}"))
        yield answered("`safebo check`: evaluators", what, ["check", named.name], folder, (0,), [])
        named.unlink()
    path.write_text(_study_of("odd:unsafe"))
    yield answered(
        "`safebo check`: evaluators", "--find-seed where nothing is safe", ["check", path.name, "--find-seed"],
        folder, (2,), ["no safe seed"],
    )  # fmt: skip
    path.unlink()


def _study_of(evaluator: str) -> str:
    return STUDY.replace("safebo.experiments.robustness.bowl:evaluate", evaluator)


def _begun(folder: Path) -> Iterator[Row]:
    """Changes to a whole `safebo init`."""
    for what, (changes, name) in INITS.items():
        yield refused("`safebo init`", what, _init(changes), folder, [name])
    (folder / "there.yaml").write_text(STUDY)
    words = _init({})
    yield refused(
        "`safebo init`", "a file that is there", [words[0], "there.yaml", *words[2:]], folder, ["there.yaml"]
    )
    (folder / "there.yaml").unlink()
    for what, (evaluator, codes, says) in INIT_ENDINGS.items():
        words = [*_init({"--evaluator": evaluator}), "--simulation"]
        yield answered("`safebo init`: evaluators", what, words, folder, codes, [says] * bool(says))
    words = _init({"--evaluator": None, "--program": "/no/such/program"})
    yield answered(
        "`safebo init`: evaluators", "a program that is not", words, folder, (1, 2), ["/no/such/program"]
    )
    row = answered(
        "`safebo init`: evaluators",
        "names in Greek",
        [*_init({}, "βῆμα.yaml"), "--simulation"],
        folder,
        (0,),
        [],
    )
    written = {"βῆμα.yaml", *(name for name in tree(folder) if name.startswith("runs/"))}
    left = set(row.kept.split(", ")) - written
    yield replace(row, faults=tuple(f for f in row.faults if f != "left" or left))
    for name in ("βῆμα.yaml", "runs"):
        shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink(missing_ok=True)


def _init(changes: dict[str, str | None], file: str = "first.yaml") -> list[str]:
    options = {**_WHOLE, **changes}
    return [
        "init",
        file,
        *(word for flag, value in options.items() if value is not None for word in (flag, value)),
    ]


def _continued(folder: Path) -> Iterator[Row]:
    """Earlier runs that do not fit."""
    path = folder / "continued.yaml"
    for what, (text, words, name) in CONTINUES.items():
        path.write_text(text)
        out = [] if "--out" in words else ["--out", "next"]
        yield refused("`safebo tune --continue`", what, ["tune", path.name, *out, *words], folder, [name])
    path.unlink()
