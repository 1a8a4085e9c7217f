"""Evaluators: functions, programs, and measurements that cannot be believed."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from closed_form_runs import STUDY

from safebo.errors import EvaluatorError, EvaluatorOptionError, MeasurementError
from safebo.evaluators.gate import checked_measurement, evaluate_safely, measured_or_failed
from safebo.evaluators.outcome import was_unsafe
from safebo.evaluators.source import EvaluatorSource, FunctionEvaluator
from safebo.study import Study
from safebo.study.reading import parse_study
from safebo.tuner import Tuner
from safebo.types import Evaluator, EvaluatorInfo, Measurement, Trial

BOWL = parse_study(STUDY).study
TRIAL = Trial(3, {"p": 2.0, "d": 1.0}, {}, "default", "local", 42, True)


def study_with(name: str, **options: Any) -> Study:
    text = STUDY.replace("closed_form_runs:bowl", name).replace("{repeatable: true}", json.dumps(options))
    return parse_study(text).study


def test_a_function_gets_parameters_context_options_and_seed() -> None:
    seen: dict[str, Any] = {}

    def function(parameters: dict, context: dict, seed: int = 0, gain: float = 0.0) -> dict:
        seen.update(parameters=parameters, context=context, seed=seed, gain=gain)
        return {"objective": 1.0, "margins": {"height": 0.5}}

    evaluator = FunctionEvaluator(function, BOWL, {"gain": 2.5, "repeatable": True})
    assert isinstance(evaluator, Evaluator)
    assert evaluator.evaluate(TRIAL) == Measurement("completed", 1.0, {"height": 0.5})
    assert seen == {"parameters": {"p": 2.0, "d": 1.0}, "context": {}, "seed": 42, "gain": 2.5}
    info = evaluator.info()
    assert info.repeatable
    assert [p.name for p in info.parameters] == ["p", "d"]
    assert [m.name for m in info.margins] == ["height"]


def test_a_function_is_not_repeatable_unless_it_says_so() -> None:
    assert not EvaluatorSource(study_with("closed_form_runs:bowl")).make().info().repeatable


async def _async(parameters: dict, context: dict) -> dict:
    return {}


def _generator(parameters: dict, context: dict) -> Any:
    yield {}


class _AsyncCall:
    async def __call__(self, parameters: dict, context: dict) -> dict:
        return {}


def _swapped(context: dict, parameters: dict) -> dict:
    return {}


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (_async, "is an async function"),
        (_AsyncCall(), "is an async function"),
        (_generator, "is a generator"),
        (_swapped, "the parameters come first"),
        (lambda *, parameters, context: {}, "cannot be called as"),
        (lambda parameters: {}, "too many positional arguments"),
        (lambda parameters, context, speed: {}, "missing a required argument: 'speed'"),
        (lambda parameters, context, seed, speed: {}, "context, seed=...): missing"),
    ],
)
def test_a_function_that_no_trial_could_call_is_refused_before_the_first(function: Any, said: str) -> None:
    with pytest.raises(EvaluatorOptionError, match=re.escape(said)):
        FunctionEvaluator(function, BOWL, {})


def test_a_function_with_the_option_that_it_needs_is_taken() -> None:
    def walk(parameters: dict, context: dict, speed: float, **more: float) -> dict:
        return {"objective": speed + more["other"], "margins": {"height": 0.5}}

    assert FunctionEvaluator(walk, BOWL, {"speed": 3, "other": 4}).evaluate(TRIAL).objective == 7.0
    compiled = FunctionEvaluator(max, BOWL, {})  # says nothing of its arguments
    with pytest.raises(TypeError, match="not supported between"):
        compiled.evaluate(TRIAL)


@pytest.mark.parametrize(
    "name", ["robot.py:f", "./robot.py:f", "/tmp/robot:f", '"robot:"', ":f", "my robot:f"]
)
def test_a_path_is_no_module_and_it_is_said_what_is_one(tmp_path: Path, name: str) -> None:
    (tmp_path / "robot.py").write_text("def f(parameters, context): return {}\n")
    with pytest.raises(EvaluatorOptionError, match="must be module:attribute, a Python module without"):
        EvaluatorSource(study_with(name), str(tmp_path)).make()


def test_a_file_beside_the_study_that_another_module_hides_is_named(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("def loads(parameters, context): return {}\n")
    with pytest.raises(EvaluatorOptionError, match=r"json\.py beside the study is hidden by another module"):
        EvaluatorSource(study_with("json:loads"), str(tmp_path)).make()


@pytest.mark.parametrize(("program", "said"), [("no-such-robot", "in PATH"), ("./robot", "/robot")])
def test_a_program_that_is_not_there_is_refused_before_the_first_trial(
    tmp_path: Path, program: str, said: str
) -> None:
    with pytest.raises(EvaluatorOptionError, match=rf"was not found .*{said}"):
        EvaluatorSource(study_with("subprocess", command=[program]), str(tmp_path)).make()
    (tmp_path / "robot").write_text("#!/bin/sh\n")
    with pytest.raises(EvaluatorOptionError, match="cannot be executed"):
        EvaluatorSource(study_with("subprocess", command=["./robot"]), str(tmp_path)).make()
    (tmp_path / "robot").chmod(0o755)
    EvaluatorSource(study_with("subprocess", command=["./robot"]), str(tmp_path)).make()


def test_classes_are_made_with_the_options() -> None:
    class Robot:
        def __init__(self, options: dict) -> None:
            if options:
                raise ValueError("velocty: no such option (allowed: velocity)")

        def info(self) -> EvaluatorInfo:
            return EvaluatorInfo("robot", (), (), ())

        def evaluate(self, trial: Trial, monitor: object = None) -> Measurement:
            return Measurement("completed", 1.0, {"height": 1.0})

    import closed_form_runs

    closed_form_runs.Robot = Robot  # type: ignore[attr-defined]
    try:
        assert EvaluatorSource(study_with("closed_form_runs:Robot")).make().info().name == "robot"
        with pytest.raises(ValueError, match="velocty"):
            EvaluatorSource(study_with("closed_form_runs:Robot", velocty=1)).make()
    finally:
        del closed_form_runs.Robot  # type: ignore[attr-defined]


def test_an_evaluator_that_records_is_told_where() -> None:
    import closed_form_runs

    class Recording:
        told: tuple[Path, Path] | None = None

        def __init__(self, options: dict) -> None:
            pass

        def info(self) -> EvaluatorInfo:
            return EvaluatorInfo("robot", (), (), ())

        def evaluate(self, trial: Trial, monitor: object = None) -> Measurement:
            return Measurement("failed")

        def record_into(self, folder: Path, relative_to: Path) -> None:
            self.told = (folder, relative_to)

    closed_form_runs.Recording = Recording  # type: ignore[attr-defined]
    try:
        study = study_with("closed_form_runs:Recording")
        made = EvaluatorSource(study, None, "/runs/a").make()
        assert isinstance(made, Recording)
        assert made.told == (Path("/runs/a/trajectories"), Path("/runs/a"))
    finally:
        del closed_form_runs.Recording  # type: ignore[attr-defined]


def test_a_module_beside_the_study_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "my_own_robot.py").write_text(
        "def walk(parameters, context):\n    return {'objective': 2.0, 'margins': {'height': 1.0}}\n"
    )
    (tmp_path / "broken_robot.py").write_text("import nothing_of_this_name\n")
    evaluator = EvaluatorSource(study_with("my_own_robot:walk"), str(tmp_path)).make()
    assert evaluator.evaluate(TRIAL).objective == 2.0
    with pytest.raises(EvaluatorError, match="nothing_of_this_name"):
        EvaluatorSource(study_with("broken_robot:walk"), str(tmp_path)).make()


GOOD: dict[str, Any] = {"objective": 1.0, "margins": {"height": 0.5}}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (GOOD | {"objective": float("nan")}, "objective 'speed' is nan, not a finite number"),
        (GOOD | {"objective": float("inf")}, "objective 'speed' is inf"),
        (GOOD | {"objective": None}, "objective 'speed' is missing"),
        ({"margins": {"height": 1.0}}, "objective 'speed' is missing"),
        (GOOD | {"margins": {"height": float("nan")}}, "margin 'height' is nan, not a finite number"),
        (GOOD | {"margins": {"hight": 1.0}}, "margin 'height' is missing (given: hight)"),
        (GOOD | {"margins": {"height": "high"}}, "margin 'height' is 'high', not a finite number"),
        ({"objective": 1.0}, "margin 'height' is missing (given: none)"),
        (GOOD | {"outcome": "crashed"}, "outcome 'crashed' does not exist (allowed: completed, backup,"),
        (GOOD | {"objektive": 1.0}, "unknown key 'objektive' (allowed: outcome, objective"),
        (GOOD | {"states": [[1.0, float("nan")]]}, "states holds something that is not a finite"),
        (GOOD | {"states": [1.0, 2.0]}, "states has shape (2,), not n x k"),
        (GOOD | {"margins_to_go": {"height": [1.0]}}, "margins_to_go is given without states"),
        (GOOD | {"states": [[1.0]], "margins_to_go": [1.0]}, "must map the names of margins"),
        (GOOD | {"states": [[1.0]], "margins_to_go": {"depth": [1.0]}}, "margins_to_go names depth, margins height"),
        (GOOD | {"states": [[1.0]], "margins_to_go": {"height": [1, 2]}}, "'height' has shape (2,), not one number"),
        (GOOD | {"states": [[1.0]], "margins_to_go": {"height": [float("inf")]}}, "'height' holds something that"),
        ({"outcome": "aborted", "fell": True}, "margin 'height' is missing"),
        (None, "the evaluator returned NoneType, not a mapping with objective and margins"),
        (3.0, "the evaluator returned float"),
    ],
)  # fmt: skip
def test_what_cannot_be_believed_is_failed_and_says_why(answer: Any, message: str) -> None:
    result = evaluate_safely(FunctionEvaluator(lambda p, c: answer, BOWL, {}), TRIAL, None, BOWL)
    assert result.outcome == "failed"
    assert message in result.message
    assert result.margins == {}
    assert result.objective is None


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        {"outcome": "aborted", "fell": True, "margins": {"height": -0.5}},
        {"outcome": "failed", "message": "no signal"},
        {"outcome": "backup", "backup_time": 1.0, "margins": {}},
        GOOD | {"states": np.zeros((3, 2)), "margins": {"height": np.float32(0.5), "other": float("nan")}},
    ],
)
def test_what_can_be_believed_stays_as_it_is(answer: dict) -> None:
    once = checked_measurement(answer, BOWL)
    assert once.outcome == answer.get("outcome", "completed")
    assert once.margins == {n: v for n, v in answer.get("margins", {}).items() if np.isfinite(v)}
    twice = checked_measurement(once, BOWL)
    assert {**vars(twice), "states": None} == {**vars(once), "states": None}


@pytest.mark.parametrize(
    "said", [{"operating_time": float("nan")}, {"operating_time": -1.0}, {"extra": {"operating_time": "1 h"}}]
)
def test_a_clock_that_says_nothing_is_not_replaced_where_the_robot_changes_with_time(said: dict) -> None:
    assert checked_measurement(GOOD | said, BOWL).operating_time is None
    drifting = parse_study(f"{STUDY}\nsurrogate: {{time: {{memory: 40 min}}}}\n").study
    with pytest.raises(MeasurementError, match=r"operating_time is .*, not a number of seconds >= 0"):
        checked_measurement(GOOD | said, drifting)
    assert checked_measurement(GOOD | {"operating_time": 3}, drifting).operating_time == 3.0


@pytest.mark.parametrize("words", [{}, {"message": None}, {"message": " "}])
def test_a_failed_trial_always_says_something(words: dict) -> None:
    assert "no message" in checked_measurement({"outcome": "failed", **words}, BOWL).message


def test_a_fall_without_an_objective_is_an_aborted_trial() -> None:
    fell = checked_measurement({"fell": True, "margins": {"height": -0.2}}, BOWL)
    assert (fell.outcome, fell.fell, fell.margins) == ("aborted", True, {"height": -0.2})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"margins": {"height": False}}, "margin 'height' is false"),
        ({"margins": {"height": "0.5"}}, "margin 'height' is '0.5'"),
        ({"margins": {"height": np.bool_(True)}}, "margin 'height' is"),
        ({"margins": {"height": [0.1, 0.2]}}, "margin 'height' is"),
        ({"margins": [0.1]}, "margins is"),
        ({"objective": True}, "objective 'speed' is true"),
        ({"objective": "1.0"}, "objective 'speed' is '1.0'"),
        ({"fell": "no"}, "fell is 'no'"),
        ({"fell": 0}, "fell is 0"),
        ({"outcome": "done"}, "outcome 'done' does not exist"),
        ({"states": [[True]]}, "states holds"),
        ({"states": [["a"]]}, "states holds"),
        ({"states": [[1, 2], [3]]}, "states holds"),
        ({"states": np.ma.masked_array([[1.0]], [[True]])}, "states holds"),
        ({"objective": np.array("1.0")}, "objective 'speed' is array"),
        ({"margins": {"height": np.ma.masked}}, "margin 'height' is masked"),
        ({"margins": {"height": np.ma.masked_array([3.0], [True])}}, "margin 'height' is masked_array"),
    ],
)
def test_what_is_of_another_kind_fails_the_trial_and_is_named(change: dict, said: str) -> None:
    with pytest.raises(MeasurementError, match=re.escape(said)):
        checked_measurement(GOOD | change, BOWL)
    refused = measured_or_failed(GOOD | change, BOWL)
    assert refused.outcome == "failed"
    assert said in refused.message


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("duration", "long", 0.0),
        ("duration", -1.0, 0.0),
        ("telemetry", 5, None),
        ("extra", [1], {}),
        ("extra", {"a": 1, "b": "x", "c": True}, {"a": 1.0}),
        ("true_objective", float("inf"), None),
        ("message", 3, "3"),
        ("message", "a\ud800b", "a\\ud800b"),
        ("message", None, ""),
    ],
)
def test_what_the_study_does_not_need_spoils_itself_alone(key: str, value: object, kept: object) -> None:
    measured = checked_measurement(GOOD | {key: value}, BOWL)
    assert measured.outcome == "completed"
    assert getattr(measured, key) == kept


def test_a_long_message_is_kept_short() -> None:
    assert len(checked_measurement(GOOD | {"message": "x" * 10**6}, BOWL).message) < 3000


def test_margins_to_go_survive_as_arrays() -> None:
    answer = GOOD | {"states": [[1, 2], [3, 4]], "margins_to_go": {"height": [1, 2]}}
    measurement = evaluate_safely(FunctionEvaluator(lambda p, c: answer, BOWL, {}), TRIAL, None, BOWL)
    assert measurement.margins_to_go is not None
    assert measurement.margins_to_go["height"].dtype == np.float64
    assert measurement.margins_to_go["height"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "answer",
    [
        Measurement("aborted", margins={}, fell=True, message="lost contact"),
        Measurement("aborted", margins={}, fell=np.bool_(True), message="lost contact"),  # type: ignore[arg-type]
        {"outcome": "aborted", "fell": True, "message": "lost contact", "telemetry": "a.parquet"},
    ],
)
def test_a_fall_in_a_refused_measurement_is_not_forgotten(answer: object) -> None:
    refused = measured_or_failed(answer, BOWL)
    assert refused.outcome == "failed"
    assert refused.fell is True
    assert "lost contact" in refused.message


@pytest.mark.parametrize(
    ("answer", "outcome", "margins"),
    [
        ({"objective": float("nan"), "margins": {"height": -0.3}}, "aborted", {"height": -0.3}),
        ({"margins": {"height": -0.3, "other": None}}, "aborted", {"height": -0.3}),
        ({"objective": float("nan"), "margins": {"height": 0.3}}, "failed", {}),
        ({"objective": float("nan"), "margins": {"other": -0.3, "height": 1}}, "failed", {}),
        ({"outcome": "failed", "objective": "x", "margins": {"height": -0.3}, "fell": 3}, "failed", {}),
    ],
)
def test_a_margin_below_0_is_known_where_the_rest_cannot_be_used(
    answer: dict, outcome: str, margins: dict
) -> None:
    refused = measured_or_failed(answer, BOWL)
    assert (refused.outcome, refused.margins) == (outcome, margins)
    assert ("measured unsafe" in refused.message) == bool(margins)
    assert was_unsafe(refused, BOWL) == bool(margins)
    assert checked_measurement(refused, BOWL) == refused  # as a journal reads it again


def test_an_unsafe_walk_with_a_margin_missing_speaks_against_its_gains() -> None:
    constraint = BOWL.constraints[0]
    two = BOWL.model_copy(
        update={
            "constraints": [constraint, constraint.model_copy(update={"name": "tilt", "quantity": "tilt"})]
        }
    )
    refused = measured_or_failed({"objective": 1.0, "margins": {"height": -0.3, "tilt": float("nan")}}, two)
    assert (refused.outcome, refused.margins) == ("aborted", {"height": -0.3})
    assert checked_measurement(refused, two) == refused
    tuner = Tuner(two, 0)
    tuner.tell(tuner.ask(), {"objective": 1.0, "margins": {"height": 0.5, "tilt": 0.5}})
    trial = tuner.ask()
    assert tuner.certify(trial.parameters, "default").certified
    tuner.tell(trial, refused)
    assert not tuner.certify(trial.parameters, "default").certified


def test_what_an_evaluator_raises_is_recorded_with_its_place() -> None:
    def broken(parameters: dict, context: dict) -> dict:
        raise ZeroDivisionError("the robot is not there")

    result = evaluate_safely(FunctionEvaluator(broken, BOWL, {}), TRIAL, None, BOWL)
    assert result.outcome == "failed"
    assert "ZeroDivisionError: the robot is not there" in result.message
    assert "test_evaluator.py" in result.message


def program(tmp_path: Path, code: str, **options: Any) -> Evaluator:
    (tmp_path / "robot.py").write_text("import json, sys, time\n" + code)
    study = study_with("subprocess", command=[sys.executable, "robot.py"], **options)
    return EvaluatorSource(study, str(tmp_path)).make()


def test_a_program_reads_the_trial_and_writes_the_measurement(tmp_path: Path) -> None:
    code = (
        "trial = json.load(sys.stdin)\n"
        "objective = trial['parameters']['p'] + trial['seed']\n"
        "json.dump({'objective': objective, 'margins': {'height': trial['id']}}, sys.stdout)"
    )
    result = program(tmp_path, code).evaluate(TRIAL)
    assert result == Measurement("completed", 44.0, {"height": 3})


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('no contact', file=sys.stderr); sys.exit(3)", "ended with exit status 3: no contact"),
        ("print('hello')", "its stdout begins with 'hello'"),
        ("print('\\x1b[2J' + 'x' * 9999)\nprint('{}')", r"stdout begins with '\\x1b[2Jxxx"),
        ("pass", "as one JSON object to stdout and nothing else there"),
        ("pass", "its stdout is empty"),
        ("sys.stdout.buffer.write(b'\\xff')", "its stdout begins with"),
        ("print('[' * 100_000)", "its stdout begins with '[[["),
        ("import os; os.close(1); os.close(2); time.sleep(9)", "did not answer within 0.5 s"),
        ("import os; os.kill(os.getpid(), 11)", "was ended by SIGSEGV"),
        ("import os; os.kill(os.getppid(), 9); import signal; signal.pause()", "was ended by SIGKILL"),
        ("while True: sys.stdout.write('x' * 1_000_000)", "wrote more than 1 MB to stdout and was ended"),
        ("print(json.dumps([1]))", "wrote no measurement"),
        ("print(json.dumps({'objectiv': 1}))", "unknown key 'objectiv'"),
        ("time.sleep(9)", "did not answer within 0.5 s"),
        ('print(\'{"objective": NaN, "margins": {"height": 1}}\')', "objective 'speed' is nan"),
    ],
)
def test_a_program_that_does_not_do_its_part_has_failed(
    tmp_path: Path, code: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("safebo.evaluators.program.MAX_ANSWER", 1 << 20)
    result = evaluate_safely(
        program(tmp_path, code, timeout=0.5 if "sleep" in code else 30, repeatable=True), TRIAL, None, BOWL
    )
    assert result.outcome == "failed"
    assert message in result.message
    assert len(result.message) < 500
    assert result.message.isprintable()


def test_a_program_that_is_there_no_more_has_failed(tmp_path: Path) -> None:
    robot = tmp_path / "robot"
    robot.write_text("#!/bin/sh\n")
    robot.chmod(0o755)
    evaluator = EvaluatorSource(study_with("subprocess", command=[str(robot)])).make()
    robot.unlink()
    assert "cannot be run" in evaluator.evaluate(TRIAL).message


def test_two_studies_of_one_session_each_find_the_module_beside_them(tmp_path: Path) -> None:
    found = []
    for value in (1.0, 2.0, 1.0):
        folder = tmp_path / str(value)
        folder.mkdir(exist_ok=True)
        returned = f"{{'objective': {value}, 'margins': {{'height': 1.0}}}}"
        (folder / "same_name.py").write_text(f"def f(parameters, context):\n    return {returned}\n")
        source = EvaluatorSource(study_with("same_name:f"), folder=str(folder))
        found.append(source.make().evaluate(TRIAL).objective)
    assert found == [1.0, 2.0, 1.0]


def test_a_folder_that_python_already_looks_in_stays_when_another_study_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study may lie in a folder of PYTHONPATH: forgetting its modules must not take that entry away."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder in (mine, other):
        folder.mkdir()
        (folder / f"of_{folder.name}.py").write_text(
            "def f(parameters, context):\n    return {'objective': 1.0, 'margins': {'height': 1.0}}\n"
        )
    monkeypatch.syspath_prepend(str(mine))
    EvaluatorSource(study_with("of_mine:f"), folder=str(mine)).make()
    EvaluatorSource(study_with("of_other:f"), folder=str(other)).make()
    assert str(mine) in sys.path
    EvaluatorSource(study_with("of_mine:f"), folder=str(mine)).make()
    assert str(other) not in sys.path
