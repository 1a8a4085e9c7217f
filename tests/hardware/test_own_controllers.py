"""The example controllers behind the guardian, by the file with which they walk in simulation."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from example_controllers import EXAMPLES, WALKER, built_trot_mpc
from relayed_world import ProcessWire, RelayWorld, damped, used_answers, wait

from safebo.evaluators.source import EvaluatorSource
from safebo.experiments.robustness.guardian_world import TROT
from safebo.hardware.adapters.relay import read_controller
from safebo.hardware.adapters.relayed_walker import RelayedWalker
from safebo.hardware.guardian.bounds import ControllerGains
from safebo.hardware.guardian.states import State
from safebo.hardware.guardian.walker import Walk
from safebo.hardware.rehearsal import free_port, rehearsed_controller
from safebo.hardware.tuning.own_controller import controller_of
from safebo.robots.controllers.controller_file import ControllerFile, read_controller_file
from safebo.robots.controllers.finding import find_controller
from safebo.robots.controllers.ports import gain_port, gains_file, own_process
from safebo.robots.controllers.serve import ServedController
from safebo.robots.descriptions.model import load_robot
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.quadruped.gait import gait_named
from safebo.robots.simulation.plant import Simulation
from safebo.study.reading import load_study


@pytest.fixture(scope="module")
def mpc(tmp_path_factory: pytest.TempPathFactory) -> ControllerFile:
    """The C++ example, built, and its file on a free port."""
    path = built_trot_mpc(tmp_path_factory.mktemp("examples")) / "trot_mpc.yaml"
    path.write_text(path.read_text().replace("4760", str(free_port())))
    return read_controller_file(path)


class ServedWire:
    """To a served class in this process."""

    def __init__(self, served: ServedController) -> None:
        self._served, self._answers = served, list[bytes]()

    def send(self, data: bytes) -> None:
        answer = self._served.answer(data)
        assert answer is not None
        self._answers.append(answer)

    def receive(self, timeout: float) -> bytes | None:
        return self._answers.pop(0) if self._answers else None


def test_the_guardian_starts_the_mpc_changes_its_gains_and_walks_with_it(mpc: ControllerFile) -> None:
    table = ControllerGains.of(mpc.table)
    process = own_process(mpc, load_robot("go1"), mpc.port, gains_file(mpc))
    assert process is not None
    executor = ThreadPoolExecutor(1)
    try:
        wire = ProcessWire(mpc.port)
        world = RelayWorld(wire, gain_port(mpc, process), mpc.switches, executor, proof=100.0, table=table)
        client = world.client()
        world.run(1.1)
        wait(
            world, lambda: world.keeper.holds(table.baseline)
        )  # it was not there: the guardian has started it
        world.standing(client)
        trial = tuple(
            111.0 if name == "swing.kp" else value for name, value in table.mapping(table.baseline).items()
        )
        client.start(world.arm(client, trial, patience=60.0), 20.0)
        assert "named by the controller" in world.said("gains")
        client.pump(TROT.settle + 0.2)
        assert world.state is State.RUNNING
        assert used_answers(world) > 140
        assert 111.0 in world.command.kp
        process.stop()
        for _ in range(3):
            world.tick()
        assert world.state is State.DAMP_LATCHED
        assert damped(world)
    finally:
        executor.shutdown()
        process.stop()


def walked(wire, table: ControllerGains, robot_name: str) -> float:
    """How far a robot comes in 1.5 s of trot at 0.4 m/s, with its guardian's walker at baseline gains, m."""
    robot = load_robot(robot_name)
    relayed = RelayedWalker(robot, table, wire, budget=1.0)
    plant = Simulation(robot)
    for _ in range(300):  # the process may still be starting
        relayed.standby(plant.read())
        if relayed.alive:
            break
        time.sleep(0.02)
    relayed.begin(
        plant.read(), Walk(gait_named("trot"), (0.4, 0.0, 0.0), 0.5, 0.3), table.mapping(table.baseline)
    )
    for tick in range(1200):
        if tick == 900:
            relayed.brake()
        plant.apply(relayed.step(plant.read()))
    assert relayed.counters.prompt == 1200
    state = relayed.state(plant.read())
    assert abs(state[0]) < 0.1
    assert abs(state[1]) < 0.1
    assert np.linalg.norm(plant.truth().linear_velocity) < 0.15  # it has come to rest, still stepping
    return float(plant.truth().position[0])


def test_the_mpc_walks_as_far_behind_the_guardian_as_in_simulation(mpc: ControllerFile) -> None:
    process = own_process(mpc, load_robot("go2"), mpc.port, gains_file(mpc))
    assert process is not None
    gain_port(mpc, process).write(
        ControllerGains.of(mpc.table).mapping(ControllerGains.of(mpc.table).baseline)
    )
    try:
        way = walked(ProcessWire(mpc.port), ControllerGains.of(mpc.table), "go2")
    finally:
        process.stop()
    evaluator = LeggedEvaluator(
        {"robot": "go2", "controller": str(mpc.path), "seconds": 1.5, "velocity": [0.4, 0.0, 0.0]}
    )
    record = evaluator.walk({}, {}, 0)
    assert way > record.base_position[-1, 0] > 0.35  # braking adds a little
    assert way < record.base_position[-1, 0] + 0.25


def test_the_class_walks_behind_the_guardian_as_a_study_describes_it() -> None:
    found = find_controller(WALKER)
    assert found is not None
    own, _ = controller_of({"robot": "go2", "controller": WALKER, "gains": {"swing.kp": 70.0}})
    assert own is not None
    assert own.table == ControllerGains.of(found.table)
    assert own.parameters[2].default == 70.0
    served = ServedController(found, load_robot("go2"))
    assert walked(ServedWire(served), own.table, "go2") > 0.25


def test_a_rehearsal_gives_the_guardian_the_study_s_controller(tmp_path: Path) -> None:
    for study, kind in (("trot_mpc", "trot_mpc"), ("python_controller", "walker")):
        file = load_study(str(EXAMPLES / study / "study.yaml"))
        options = EvaluatorSource.of_file(file).bridge_options()
        assert str(EXAMPLES / study) in options["controller"]  # beside the study, from wherever it is started
        for _ in range(2):  # a rehearsal that goes on writes its file anew
            adapter = rehearsed_controller(options, tmp_path)
        assert adapter is not None
        attached = read_controller(adapter)
        own, _ = controller_of(options)
        assert own is not None
        assert ControllerGains.of(attached.table) == own.table
        assert attached.start
        assert kind in " ".join(attached.start)
    assert rehearsed_controller({"robot": "go2"}, tmp_path) is None
    with pytest.raises(ValueError, match=r"nowhere.yaml: no such file"):
        read_controller(Path("nowhere.yaml"))
