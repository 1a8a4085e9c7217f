"""A controller in a process of its own in simulation: a guardian's bytes, in lock-step, and what can fail."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from safebo.robots.controllers import process
from safebo.robots.controllers.controller_file import read_controller_file
from safebo.robots.controllers.process import ProcessController
from safebo.robots.controllers.protocol import ControllerFault, ControllerInputError
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.types import Trial

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "relayed_controller"
ADAPTER = f"""
controller:
  name: a process
  address: 127.0.0.1:4760
  start: [{sys.executable}, standing.py, "{{gains}}", "{{port}}", "{{robot}}", well]
  proof: 30
gains:
  kp: {{unit: N m/rad, lower: 5, upper: 200, baseline: 60}}
  kd: {{unit: N m s/rad, lower: 0.1, upper: 9, baseline: 2}}
gain_port: {{kind: file-and-restart, file: gains.yaml, format: yaml}}
"""
# It knows nothing of safebo, and how it shall fail at which tick of the walk from its last argument.
PROGRAM = """
import hashlib, os, socket, struct, sys, time
gains, port, robot, how = sys.argv[1:]
numbers = [float(line.split(":")[1]) for line in open(gains)]
if how == "start":
    sys.exit("no licence for " + robot)
identity = hashlib.sha256(struct.pack("<2d", *numbers)).digest()[:8]
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.bind(("127.0.0.1", int(port)))
walked, me = 0, os.urandom(3) + b"m"
while True:
    state, address = link.recvfrom(1000)
    walked += state[4] == 2
    fails = walked == 20 or how in ("gains", "instance0")
    values = [0, 0.8, -1.5] * 4 + [0.0] * 24 + [numbers[0]] * 12 + [numbers[1]] * 12
    values += [0, 0, 0.3, 1, 0, 0, 0] + [0.0] * 6
    who = b"\\0\\0\\0\\0" if how == "instance0" else me
    if fails and how == "die":
        print("assertion failed: z > 0", file=sys.stderr)
        os.abort()
    if fails and how == "hang":
        time.sleep(1000)
    if fails and how == "nan":
        values[4] = float("nan")
    if fails and how == "restarted":
        who = b"else"
    told = bytes(8) if fails and how == "gains" else identity
    if fails and how == "gains":
        told = b"\\1" * 8
    answer = b"SBa1" + who + state[8:16] + told + struct.pack("<73d", *values)
    link.sendto(answer[:-1] if fails and how == "short" else answer, address)
"""


def adapter(folder: Path, how: str = "well") -> str:
    folder.mkdir(exist_ok=True)
    (folder / "standing.py").write_text(PROGRAM)
    (folder / "gains.yaml").write_text("kp: 60.0\nkd: 2.0\n")
    path = folder / "controller.yaml"
    path.write_text(ADAPTER.replace("well]", f"{how}]"))
    return str(path)


def options(controller: str) -> dict[str, object]:
    return {"robot": "go2", "controller": controller, "seconds": 0.2, "velocity": [0.0, 0.0, 0.0]}


def trial(**parameters: float) -> Trial:
    return Trial(0, parameters, {}, "trot", "manual", 3, False)


def test_the_example_bobs_in_simulation_with_the_gains_of_each_trial(tmp_path: Path) -> None:
    for name in ("controller.py", "parameter_server.py", "gains.yaml"):
        (tmp_path / name).write_text((EXAMPLE / name).read_text())
    text = re.sub(r"  restart:.*\n", "", (EXAMPLE / "file_controller.yaml").read_text())
    start = f'[{sys.executable}, controller.py, "{{gains}}", --port, "{{port}}"]'
    text = text.replace("4760\n", f"4760\n  start: {start}\n  proof: 30\n")
    (tmp_path / "controller.yaml").write_text(text)
    evaluator = LeggedEvaluator(options(str(tmp_path / "controller.yaml")))
    assert [p.name for p in evaluator.info().parameters] == ["stance.kp", "stance.kd", "bob.depth"]
    still = evaluator.walk({"bob.depth": 0.0}, {}, 0)
    low, again = (evaluator.walk({"bob.depth": 0.15}, {}, 0) for _ in range(2))
    assert not low.fell
    assert np.array_equal(low.joint_position, again.joint_position)
    assert (still.desired_position[:, 1] == 0.8).all()
    # in trot of 0.5 s the cosine is at 0.2 s
    expected = 0.8 + 0.15 * (1.0 - np.cos(2.0 * np.pi * low.time[-1] / 0.5)) / 2.0
    assert low.desired_position[-1, 1] == pytest.approx(expected, abs=1e-12)
    assert (tmp_path / "gains.yaml").read_text() == (EXAMPLE / "gains.yaml").read_text()
    assert low.estimated_position[-1, 2] == 0.3


@pytest.mark.parametrize(
    ("how", "outcome", "words"),
    [
        ("well", "completed", "^$"),
        ("die", "aborted", "the controller's process was ended by SIGABRT: assertion failed: z > 0"),
        ("hang", "aborted", r"no answer to tick \d+ within 0.3 s"),
        ("nan", "aborted", r"tick 169 \(0.038 s\): the command's position of FR_thigh_joint is nan"),
        ("restarted", "aborted", "the controller has restarted while the robot walked"),
        ("short", "aborted", "relay answer: 607 bytes, expected 608"),
        ("start", "failed", "never walked: .*process ended with 1: no licence for go2"),
        ("gains", "failed", "answers with gains 0x0101010101010101, expected 0x"),
        ("instance0", "failed", "instance 0; a controller draws one"),
    ],
)
def test_what_a_process_does_wrong_is_a_sentence(tmp_path, monkeypatch, how, outcome, words) -> None:
    monkeypatch.setattr(process, "ANSWER_TIMEOUT_S", 0.3 if how == "hang" else 30.0)
    path = adapter(tmp_path, how)
    if how == "gains":
        Path(path).write_text(Path(path).read_text().replace("proof: 30", "proof: 0.5"))
    evaluator = LeggedEvaluator(options(path))
    measured = evaluator.evaluate(trial(kp=80.0))
    assert measured.outcome == outcome, measured.message
    assert re.search(words, measured.message), measured.message
    if outcome != "completed":
        assert path in measured.message
        assert measured.objective is None
    # the next trial has a process of its own, whatever became of this one
    if how == "die":
        (tmp_path / "standing.py").write_text(PROGRAM.replace('"die"', '"never"'))
        assert evaluator.evaluate(trial(kp=80.0)).outcome == "completed"


def test_two_workers_walk_at_once_only_where_each_has_a_process(tmp_path) -> None:
    path = Path(adapter(tmp_path))
    first, second = (ProcessController(read_controller_file(path)) for _ in range(2))
    evaluator = LeggedEvaluator(options(str(path)))
    gains = {"kp": 60.0, "kd": 2.0}
    for controller in (first, second):
        controller.reset(evaluator.robot, gains, evaluator.gait({}), lambda time: (0.0, 0.0, 0.0))
    for controller in (first, second):
        controller.close()
    restart = ADAPTER.replace("file: gains", "restart: ['true'], file: gains")
    path.write_text(re.sub(r"  start:.*\n", "", restart).replace("proof: 30", "proof: 0.1"))
    first, second = (ProcessController(read_controller_file(path)) for _ in range(2))
    with pytest.raises(ControllerFault, match=r"no answer within 0.1 s \(controller.proof\)"):
        first.reset(evaluator.robot, gains, evaluator.gait({}), lambda time: (0.0, 0.0, 0.0))
    with pytest.raises(ControllerFault, match="another process walks with this controller"):
        second.reset(evaluator.robot, gains, evaluator.gait({}), lambda time: (0.0, 0.0, 0.0))
    first.close()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("{port}", "{prt}", r"controller.start: '{prt}' is not allowed; expected {port}, {gains}, {robot}"),
        ('"{port}"', "'4760'", "controller.start: needs the word {port}"),
        ('"{gains}"', "gains.yaml", "controller.start: needs the word {gains}"),
        (
            "file: gains",
            "restart: [make], file: gains",
            "gain_port.restart: is left out with controller.start",
        ),
        ("file: gains.yaml", "file: none.yaml", "gain_port.file: .*none.yaml: no such file"),
        ("kp: {", "kq: {", "there is no single 'kq' in it"),
        ("gains:\n  kp", "gain:\n  kp", "gains: is missing"),
    ],
)
def test_a_bad_start_is_refused_before_anything_walks(tmp_path, old, new, words) -> None:
    path = adapter(tmp_path)
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new, 1))
    with pytest.raises(ControllerInputError, match=words):
        LeggedEvaluator(options(path))


def test_a_program_that_is_not_there_is_said(tmp_path) -> None:
    path = adapter(tmp_path)
    Path(path).write_text(Path(path).read_text().replace(sys.executable, "./trot_mpc"))
    measured = LeggedEvaluator(options(path)).evaluate(trial())
    assert measured.outcome == "failed"
    assert re.search(r"start: .*/trot_mpc: no such program; was it built\?", measured.message)
    Path(path).write_text(Path(path).read_text().replace("./trot_mpc", "no-such-mpc"))
    measured = LeggedEvaluator(options(path)).evaluate(trial())
    assert "No such file" in measured.message
