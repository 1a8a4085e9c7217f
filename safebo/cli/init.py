"""The command `safebo init`: a first study from names, bounds and a seed."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from safebo.errors import InputError
from safebo.text.command import say
from safebo.text.counted import counted
from safebo.text.file_names import file_name

NewFile = Annotated[Path, typer.Argument(metavar="FILE", help="The study file to write; it must not exist.")]
Evaluator = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="A registered evaluator, or MODULE:FUNCTION (also beside FILE)."),
]
Program = Annotated[
    str | None,
    typer.Option(metavar="COMMAND", help="Instead: a program that speaks JSON, with its arguments."),
]
Options = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="An option of the evaluator. May be given several times."),
]
Simulation = Annotated[
    bool,
    typer.Option(
        "--simulation", help="Of a function or program: trials may be repeated (`repeatable: true`)."
    ),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=LOW:HIGH[:log]",
        help="A gain and its bounds; also :linear, :integer, or NAME=a|b. Several times.",
    ),
]
SeedValues = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="A value of every gain, known to be safe together."),
]
Objective = Annotated[
    str | None,
    typer.Option(
        metavar="NAME[=QUANTITY]", help="What is maximised; QUANTITY is the evaluator's name for it."
    ),
]
Margins = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="What is safe when >= 0, as the evaluator calls it. Several times."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MARGIN=SIZE", help="How much a margin usually changes over these ranges, in its unit."
    ),
]
Trials = Annotated[int, typer.Option(min=1, help="Length of the run, the measurements made now included.")]
Repeats = Annotated[int, typer.Option(min=2, max=20, help="Measurements of the seed.")]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the run. [default: runs/NAME]")]


def init(
    file: NewFile,
    evaluator: Evaluator = None,
    program: Program = None,
    option: Options = None,
    simulation: Simulation = False,
    parameter: Parameters = None,
    seed: SeedValues = None,
    objective: Objective = None,
    margin: Margins = None,
    change: Changes = None,
    trials: Trials = 25,
    repeats: Repeats = 3,
    out: Out = None,
) -> None:
    """Write a first study from names, bounds and a seed, by measuring the seed and small steps around it.

    The seed is measured a few times, then every gain is changed by at most 2 % of its range, once, until a margin has
    halved. Noise, scales and lengthscales are concluded from that, and each stands in the study file with where it came
    from. The measurements are the first trials of a run, which `safebo tune` goes on with. Bounds above 0 that lie ten
    times apart or more are taken on a logarithmic scale, unless they end with `:linear`.

    What is missing is asked for at a terminal. To try:

        safebo init hop.yaml --evaluator my_robot:hop --parameter kp=10:200 --parameter kd=1:5
        --seed kp=40 --seed kd=1 --objective height --margin torque --margin tilt --change torque=5

        safebo check hop.yaml

        safebo tune hop.yaml --out runs/hop --resume

    Exit codes: 0 written; 1 the seed is not safe, or a trial failed (nothing is written); 2 what was given makes no
    study, or FILE is there already.
    """
    from safebo.runs.first_study import begin_study, next_commands
    from safebo.study.initial_file import Wishes

    if file.exists():
        raise InputError(f"{file}: is there already; choose another name, or remove it")
    if evaluator is not None and program is not None:
        raise InputError("say either --evaluator or --program")
    answers = _Answers()
    if program is None:
        evaluator = answers.one("--evaluator", evaluator, "Evaluator (a registered name, or MODULE:FUNCTION)")
    parameters = answers.several("--parameter", parameter, "Gain and bounds, NAME=LOW:HIGH[:log]", _parameter)
    names = [p["name"] for p in parameters]
    seeds = answers.several(
        "--seed", seed, "Safe value, NAME=VALUE", _value_of("--seed"), [f"{n}=" for n in names]
    )
    goal = answers.one("--objective", objective, "Objective, which is maximised")
    safe = answers.several("--margin", margin, "Margin, safe when >= 0", str)
    answers.complete()
    goal, safe, quantities = _names_and_quantities(goal, safe)
    wishes = Wishes(
        name=file.stem,
        evaluator="subprocess" if evaluator is None else evaluator,
        options=_options(option or (), program, simulation),
        parameters=parameters,
        seed=dict(seeds),
        objective=goal,
        margins=safe,
        quantities=quantities,
        changes=_changes(change or (), safe, answers.interactive),
        trials=trials,
    )
    made = begin_study(wishes, file, out or Path("runs") / file_name(file.stem), repeats, say)
    if made.halted:
        say(f"No more steps: {made.halted}.")
    say(f"Written: {file}, and a run of {counted(made.trials, 'trial')} in {made.folder}.")
    for command in next_commands(made):
        say(f"Next: {command}")


def _names_and_quantities(objective: str, margins: Sequence[str]) -> tuple[str, list[str], dict[str, str]]:
    """Names of the objective and the margins, and by name what the evaluator calls it where that is another."""
    pairs = [text.partition("=") for text in (objective, *margins)]
    objective, *names = (name for name, _, _ in pairs)
    if objective in names:
        raise InputError(
            f"--margin {objective}: the objective has that name; give the margin one of its own and say what the "
            f"evaluator calls it, for example --margin {objective}_error={objective}"
        )
    return objective, names, {name: quantity for name, _, quantity in pairs if quantity}


def _changes(given: Sequence[str], margins: Sequence[str], interactive: bool) -> dict[str, float]:
    """By margin, how much it usually changes over the ranges, as far as that is known."""
    changes = [_size(text) for text in given]
    if not changes and interactive:
        for name in margins:
            told = typer.prompt(
                f"Over these ranges {name} usually changes by about (its unit; empty: not known)", ""
            )
            changes += [_size(f"{name}={told}")] if told.strip() else []
    for name, _ in changes:
        if name not in margins:
            raise InputError(f"--change {name}: is no margin (margins: {', '.join(margins)})")
    return dict(changes)


def _options(given: Sequence[str], program: str | None, simulation: bool) -> dict[str, Any]:
    """Of the evaluator."""
    options = dict(_value_of("--option")(text) for text in given)
    if program is not None:
        options["command"] = _split(program)
    if simulation:
        options["repeatable"] = True
    return options


class _Answers:
    """Options, or answers at a terminal; in a pipe what is missing is told at once, by its option."""

    def __init__(self) -> None:
        self.interactive = sys.stdin.isatty()
        self._missing: list[str] = []

    def one(self, flag: str, given: str | None, question: str) -> str:
        """One text."""
        if given is None and self.interactive:
            given = str(typer.prompt(question))
        if given is None:
            self._missing.append(f"{flag} ({question})")
        return given or ""

    def several(
        self,
        flag: str,
        given: Sequence[str] | None,
        question: str,
        read: Callable[[str], Any],
        heads: Sequence[str] = (),
    ) -> list[Any]:
        """Several; `heads` are beginnings of the answers, one question each."""
        texts = list(given or ())
        if not texts and self.interactive:
            texts = [head + str(typer.prompt(f"{question}: {head}")) for head in heads]
            while not heads and (
                text := str(typer.prompt(f"{question} (an empty line ends)", "", show_default=False)).strip()
            ):
                texts.append(text)
        if not texts:
            self._missing.append(f"{flag} ({question})")
        return [read(text) for text in texts]

    def complete(self) -> None:
        """Raise `InputError` for everything that nobody said."""
        if self._missing:
            raise InputError(
                "missing: " + "; ".join(self._missing) + ". At a terminal, safebo init asks for it"
            )


def _parameter(text: str) -> dict[str, Any]:
    """A parameter of a study from `NAME=LOW:HIGH[:log|:integer]`."""
    name, equals, rest = text.partition("=")
    if equals and name and "|" in rest:
        return {"name": name.strip(), "choices": [choice.strip() for choice in rest.split("|")]}
    low, _, rest = rest.partition(":")
    high, *words = rest.split(":")
    bounds = [_number(low), _number(high)]
    if (
        not equals
        or not name
        or None in bounds
        or any(word not in ("log", "linear", "integer") for word in words)
    ):
        raise InputError(
            f"--parameter {text}: expected NAME=LOW:HIGH, with :log or :integer after it if need be"
        )
    kinds = {"log": {"scale": "log"}, "integer": {"type": "integer"}, "linear": {"scale": "linear"}}
    more = {key: value for word in words for key, value in kinds[word].items()}
    return {"name": name.strip(), "bounds": bounds, **more}


def _value_of(flag: str) -> Callable[[str], tuple[str, Any]]:
    def read(text: str) -> tuple[str, Any]:
        import yaml

        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise InputError(f"{flag} {text}: expected NAME=VALUE")
        number = _number(value)
        try:
            return name.strip(), yaml.safe_load(value) if number is None else number
        except yaml.YAMLError:
            return name.strip(), value

    return read


def _size(text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    size = _number(value)
    if not equals or size is None or size <= 0:
        raise InputError(f"--change {text}: expected MARGIN=SIZE, a number > 0 in the margin's unit")
    return name.strip(), size


def _number(text: str) -> float | int | None:
    try:
        value = float(text)
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 and "." not in text else value


def _split(program: str) -> list[str]:
    try:
        words = shlex.split(program)
    except ValueError as error:
        raise InputError(f"--program: {error}") from None
    if not words:
        raise InputError("--program: is empty")
    return words
