"""The controllers of docs/examples, walking in simulation as their pages say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from example_controllers import EXAMPLES, WALKER, built_trot_mpc
from test_controllers import STAND

from safebo.evaluators.source import EvaluatorSource
from safebo.robots.controllers.controller_file import read_controller_file
from safebo.robots.controllers.datagrams import GainSet, Mode, RelayAnswer, RelayState, gains_identity
from safebo.robots.controllers.finding import find_controller
from safebo.robots.controllers.process import ProcessController
from safebo.robots.controllers.protocol import ControllerFault
from safebo.robots.controllers.serve import ServedController, write_adapter
from safebo.robots.controllers.walk import ProtocolWalk
from safebo.robots.descriptions.model import load_robot
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.quadruped.gait import gait_named
from safebo.robots.simulation.plant import Simulation
from safebo.study.reading import load_study

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trot_mpc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C++ example, built by its one command."""
    return built_trot_mpc(tmp_path_factory.mktemp("examples"))


@pytest.mark.parametrize("robot", ["go1", "go2"])
def test_the_mpc_in_cpp_trots_on_both_robots_by_one_file(trot_mpc: Path, robot: str) -> None:
    evaluator = LeggedEvaluator(
        {
            "robot": robot,
            "controller": str(trot_mpc / "trot_mpc.yaml"),
            "seconds": 1.5,
            "velocity": [0.4, 0, 0],
        }
    )
    record = evaluator.walk({}, {}, 0)
    assert not record.fell
    assert record.base_position[-1, 0] > 0.35
    rows = slice(record.walk_start + 500, None)
    assert np.abs(record.estimated_velocity[rows] - record.base_velocity[rows]).mean() < 0.06
    assert np.abs(record.desired_position - record.joint_position)[rows].mean() < 0.03
    # a trot: its feet are where the gait has them, nearly always
    assert (record.contact[rows] == record.planned_contact[rows]).mean() > 0.85
    # other gains, other commands: a stiff one is commanded as such
    assert evaluator.walk({"swing.kp": 111.0}, {}, 0).commanded_torque.any()


def test_its_study_walks_and_its_gains_file_stays(trot_mpc: Path) -> None:
    before = (trot_mpc / "gains.yaml").read_text()
    file = load_study(str(trot_mpc / "study.yaml"))
    evaluator = EvaluatorSource.of_file(file).make()
    file.check_evaluator(evaluator.info())
    table = read_controller_file(trot_mpc / "trot_mpc.yaml").table
    baseline = {gain.name: gain.default for gain in table}
    assert {
        name: float(value) for name, value in (line.split(":") for line in before.splitlines()[1:])
    } == baseline
    assert (trot_mpc / "gains.yaml").read_text() == before
    lines = (EXAMPLES / "trot_mpc" / "trot_mpc.cpp").read_text().splitlines()
    assert len(lines) < 300


def test_a_gain_that_is_missing_in_its_file_is_said(trot_mpc: Path, tmp_path: Path) -> None:
    path = tmp_path / "gains.yaml"
    path.write_text((trot_mpc / "gains.yaml").read_text().replace("swing.kd", "swing.kdd"))
    done = subprocess.run(
        [trot_mpc / "trot_mpc", path, "4760", "go1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no number at swing.kd" in done.stderr


@pytest.mark.parametrize("robot", ["go2", "anymal_c"])
def test_the_class_in_python_trots_on_other_robots(robot: str) -> None:
    evaluator = LeggedEvaluator(
        {"robot": robot, "controller": WALKER, "seconds": 1.2, "velocity": [0.4, 0, 0]}
    )
    record = evaluator.walk({}, {}, 0)
    assert not record.fell
    assert record.base_position[-1, 0] > 0.2


def test_its_study_is_accepted() -> None:
    file = load_study(str(EXAMPLES / "python_controller" / "study.yaml"))
    file.check_evaluator(EvaluatorSource.of_file(file).make().info())


def test_a_class_that_is_served_commands_what_it_commands_in_this_process(tmp_path: Path) -> None:
    robot, found = load_robot("go2"), find_controller(WALKER)
    assert found is not None
    (tmp_path / "gains.yaml").write_text("stance.kp: 33.0\n")
    served = ServedController(found, robot, tmp_path / "gains.yaml")
    gains = found.table.full({"stance.kp": 33.0})
    gait = gait_named("trot")
    command = (0.3, 0.0, 0.1)
    inside = ProtocolWalk(found.make(), "inside", robot, gains, gait, lambda time: command, settle=0.1)
    plant = Simulation(robot)
    numbers = (gait.duty_factor, gait.stride_duration, gait.offset_fl, gait.offset_rr, gait.offset_rl)
    inside.reset(plant.read())
    for tick in range(250):
        reading = plant.read()
        mode = Mode.SETTLE if tick < 50 else Mode.WALK
        state = RelayState(mode, GainSet.TRIAL, tick, reading.time, command, numbers, 0.1, reading)
        data = served.answer(state.pack())
        assert data is not None
        answer, own = RelayAnswer.unpack(data), inside.step(reading)
        assert answer.tick == tick
        assert answer.gains == gains_identity(list(gains.values()))
        for part in ("position", "velocity", "torque", "kp", "kd"):
            assert np.array_equal(getattr(answer.command, part), getattr(own, part)), (tick, part)
        assert np.array_equal(answer.base.linear_velocity, inside.base.linear_velocity)
        plant.apply(own)
    assert plant.truth().position[0] > 0.01
    # standing by it takes the gains of a file that has changed, all or none
    said: list[str] = []
    served._say = said.append
    standby = RelayState(Mode.STANDBY, GainSet.TRIAL, 1, 0.0, (0.0, 0.0, 0.0), (0.0,) * 5, 0.0, plant.read())
    for text, known in (("stance.kp: 3000", 33.0), ("stance.kp: 44.0", 44.0)):
        (tmp_path / "new").write_text(text)
        (tmp_path / "new").replace(tmp_path / "gains.yaml")
        data = served.answer(standby.pack())
        assert data is not None
        expected = gains_identity(list(found.table.full({"stance.kp": known}).values()))
        assert RelayAnswer.unpack(data).gains == expected
    assert len(said) == 1
    assert "gains.yaml: stance.kp: 3000 is outside 0 .. 100 N m/rad" in said[0]
    assert served.answer(b"SBs1") is None


def test_the_written_file_has_a_process_walk_and_take_gains_without_a_restart(tmp_path: Path) -> None:
    (tmp_path / "stand.py").write_text(STAND)
    found = find_controller(f"{tmp_path / 'stand.py'}:Stand")
    assert found is not None
    gains_file = write_adapter(found, tmp_path / "own.yaml", 4760)
    assert gains_file.read_text() == "kp: 60.0\nkd: 2.0\n"
    file = read_controller_file(tmp_path / "own.yaml")
    assert list(file.table) == [
        type(gain)(gain.name, gain.unit, gain.default, gain.lower, gain.upper, gain.description)
        for gain in found.table
    ]
    options = {"seconds": 0.1, "robot": "go2"}
    apart = LeggedEvaluator({**options, "controller": str(tmp_path / "own.yaml")})
    inside = LeggedEvaluator({**options, "controller": found.name})
    instances = set()
    controller = apart._controller
    assert isinstance(controller, ProcessController)
    for gain in (50.0, 70.0):
        walks = [evaluator.walk({"kp": gain}, {}, 3) for evaluator in (apart, inside)]
        assert np.allclose(walks[0].commanded_torque, walks[1].commanded_torque, rtol=0.0, atol=1e-9)
        instances.add(controller._instance)
    assert len(instances) == 1
    assert controller._process is not None
    controller._process.stop()  # a process that has gone is started anew by the next walk
    assert not apart.walk({}, {}, 3).fell
    assert controller._instance not in instances
    controller.close()
    with pytest.raises(ValueError, match="is there already"):
        write_adapter(found, tmp_path / "own.yaml", 4760)


def test_a_served_controller_that_fails_answers_no_more(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text(
        (EXAMPLES / "python_controller" / "walker.py")
        .read_text()
        .replace("time, gains = sensors.time, self.given", "time, gains = sensors.time, self.givenn")
    )
    found = find_controller(f"{path}:Walker")
    assert found is not None
    with pytest.raises(
        ControllerFault, match=r"broken.py:Walker: tick 0 .*step raised AttributeError: .*givenn"
    ):
        ServedController(found, load_robot("go2")).warm()
