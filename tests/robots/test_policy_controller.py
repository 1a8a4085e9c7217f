"""A learned policy under tuned joint gains: real inference of networks that are written here, byte by byte."""

from __future__ import annotations

import builtins
import struct
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from safebo.robots.cli import app
from safebo.robots.controllers.finding import find_controller
from safebo.robots.controllers.policy_file import read_policy_file
from safebo.robots.controllers.protocol import ControllerInputError
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.quadruped.interface import SensorReading
from safebo.types import Trial

WIDTH = 3 + 3 + 3 + 12 + 12 + 12 + 2
TEXT = """
policy:
  file: policy.onnx
  rate: 50
  observation:
    - {term: angular_velocity, scale: 0.25}
    - {term: projected_gravity}
    - {term: command, scale: [2.0, 2.0, 0.25]}
    - {term: joint_position}
    - {term: joint_velocity, scale: 0.05}
    - {term: last_action}
    - {term: gait_clock}
  stiffness: 60
  damping: {hip: 2.0, thigh: 2.0, calf: 2.5}
  action_scale: {hip: 0.125, thigh: 0.25, calf: 0.25}
"""


def field(number: int, value: int | bytes | str) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def linear_network(weights: np.ndarray, bias: np.ndarray) -> bytes:
    """An ONNX model (onnx.proto, IR version 8, opset 13): action = observation @ weights + bias."""

    def tensor(name: str, values: np.ndarray) -> bytes:
        data = b"".join(field(1, size) for size in values.shape) + field(2, 1) + field(8, name)
        return data + field(9, struct.pack(f"<{values.size}f", *values.ravel()))

    def value(name: str, width: int) -> bytes:
        shape = b"".join(field(1, field(1, size)) for size in (1, width))
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))

    def node(kind: str, inputs: tuple[str, str], output: str) -> bytes:
        return b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, kind)

    width, outputs = weights.shape
    graph = field(1, node("MatMul", ("observation", "w"), "product"))
    graph += field(1, node("Add", ("product", "b"), "action"))
    graph += field(2, "linear") + field(5, tensor("w", weights)) + field(5, tensor("b", bias))
    graph += field(11, value("observation", width)) + field(12, value("action", outputs))
    return field(1, 8) + field(7, graph) + field(8, field(2, 13))


def stepping() -> np.ndarray:
    """Weights of a network that steps forward: each foot back while it stands, up and forward while it does not."""
    weights = np.zeros((WIDTH, 12))
    for leg, sign in enumerate((-1.0, 1.0, 1.0, -1.0)):  # FL, FR, RL, RR: FR and RL in phase with the clock
        sine, cosine = weights[-2], weights[-1]
        thigh, calf = 3 * leg + 1, 3 * leg + 2
        cosine[thigh], sine[calf] = -0.6 * sign, 1.2 * sign
    return weights


@pytest.fixture
def policy(tmp_path: Path):
    """The file of a policy with these weights, its text changed."""
    pytest.importorskip("onnxruntime", reason="needs the extra [policy]")

    def made(
        weights: np.ndarray | None = None, bias: np.ndarray | None = None, old: str = "", new: str = ""
    ) -> str:
        assert old in TEXT
        weights = np.zeros((WIDTH, 12)) if weights is None else weights
        bias = np.zeros(weights.shape[1]) if bias is None else bias
        (tmp_path / "policy.onnx").write_bytes(linear_network(weights, bias))
        path = tmp_path / "policy.yaml"
        path.write_text(TEXT.replace(old, new) if old else TEXT)
        return str(path)

    return made


def options(controller: str, **more: object) -> dict[str, object]:
    return {"robot": "go2", "controller": controller, "seconds": 1.0, **more}


def test_a_network_of_zeros_stands_in_the_default_pose(policy) -> None:
    evaluator = LeggedEvaluator(options(policy()))
    record = evaluator.walk({}, {}, 0)
    assert not record.fell
    assert np.allclose(record.desired_position[-1], evaluator.robot.home_joints)
    assert abs(record.base_position[-1, 2] - record.base_position[record.walk_start, 2]) < 0.03
    assert [(p.name, p.unit, p.default) for p in evaluator.info().parameters] == [
        *((f"joint.{kind}.kp", "N m/rad", 60.0) for kind in ("hip", "thigh", "calf")),
        *(
            (f"joint.{kind}.kd", "N m s/rad", kd)
            for kind, kd in (("hip", 2.0), ("thigh", 2.0), ("calf", 2.5))
        ),
        *(
            (f"action.{kind}.scale", "rad", s)
            for kind, s in (("hip", 0.125), ("thigh", 0.25), ("calf", 0.25))
        ),
    ]


def test_a_network_that_steps_walks_and_its_gains_decide_how_well(policy) -> None:
    evaluator = LeggedEvaluator(options(policy(stepping()), seconds=2.0))
    record = evaluator.walk({}, {}, 0)
    assert not record.fell, record.stop_reason
    assert record.base_position[-1, 0] > 0.25
    # the action changes every tenth tick, and by it the targets
    changes = np.flatnonzero(
        np.abs(np.diff(record.desired_position[record.walk_start :], axis=0)).max(axis=1) > 0
    )
    assert (np.diff(changes) % 10 == 0).all()
    small = evaluator.walk({"action.thigh.scale": 0.05, "action.calf.scale": 0.05}, {}, 0)
    swing = [np.ptp(walk.desired_position[-250:, 1]) for walk in (record, small)]
    assert swing[1] == pytest.approx(swing[0] / 5.0, rel=1e-5)
    costs = [
        evaluator.evaluate(Trial(0, {"joint.calf.kp": kp}, {}, "trot", "manual", 0, False)).objective
        for kp in (30.0, 90.0)
    ]
    assert costs[0] != costs[1]


def test_the_network_sees_what_the_file_says_in_its_order(policy) -> None:
    order = [f"{leg}_{joint}_joint" for joint in ("calf", "hip", "thigh") for leg in ("RR", "FL", "FR", "RL")]
    pose = [0.1 * k for k in range(12)]
    weights = np.eye(WIDTH)[:, :12]
    path = policy(weights, old="  stiffness", new=f"  joints: {order}\n  default_pose: {pose}\n  stiffness")
    found = find_controller(path)
    assert found is not None
    controller = found.make()
    robot = LeggedEvaluator({"robot": "go2", "seconds": 1.0}).robot
    gait = LeggedEvaluator({"seconds": 1.0}).gait({})
    controller.reset(robot, found.table.full(), gait, lambda time: (0.3, -0.1, 0.8))
    half = np.sqrt(0.5)
    sensors = SensorReading(
        0.0,
        np.arange(12.0),
        np.arange(12.0),
        np.array([half, half, 0.0, 0.0]),
        np.array([1.0, 2.0, 3.0]),
        np.zeros(3),
    )
    command = controller.step(sensors)
    # rolled by 90 degrees to the right gravity points along -y of the trunk... and so on, scaled
    index = [robot.joint_names.index(name) for name in order]
    seen = np.concatenate(
        [[0.25, 0.5, 0.75], [0.0, -1.0, 0.0], [0.6, -0.2, 0.2], (np.arange(12.0)[index] - pose)[:3]]
    )
    scale = np.array([0.125, 0.25, 0.25] * 4)
    expected = np.zeros(12)
    expected[index] = np.array(pose) + scale[index] * seen
    assert np.allclose(command.position, expected, atol=1e-6)
    assert (command.kp == 60.0).all()
    assert command.kd[2] == 2.5
    assert command.kd[3] == 2.0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("policy.onnx", "none.onnx", "policy.file: .*none.onnx: no such file"),
        ("policy.onnx", "policy.yaml", "policy.file: .*policy.yaml: .*[Pp]rotobuf"),
        ("rate: 50", "rate: 60", "policy.rate: 60.0 is not allowed; expected a whole part of 500"),
        (
            "term: last_action",
            "term: height",
            r"policy.observation\[5\].term: 'height' is not allowed; expected ang",
        ),
        ("    - {term: gait_clock}\n", "", "policy.observation has 45 numbers, but the network wants 47"),
        (
            "[2.0, 2.0, 0.25]",
            "[2.0, 2.0]",
            r"observation\[2\].scale: \[2.0, 2.0\] is not allowed; expected a number, or 3",
        ),
        ("[2.0, 2.0, 0.25]", "[2.0, fast, 0.25]", r"observation\[2\].scale.1: 'fast' is not allowed"),
        (
            "stiffness: 60",
            "stiffness: -3",
            "policy.stiffness: -3 is not allowed; expected a number from 0 to 2000",
        ),
        ("{hip: 2.0, thigh: 2.0, calf: 2.5}", "{hip: 2.0, knee: 2.0}", "policy.damping.thigh: is missing"),
        ("action_scale:", "scale:", "policy.action_scale: is missing"),
        ("  rate: 50", "  rat: 50", "policy.rat: unknown key"),
        ("  rate: 50", "  joints: [FL_hip_joint]", "policy.joints: .* expected twelve names, each once"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(policy, old, new, words) -> None:
    with pytest.raises(ControllerInputError, match=words):
        LeggedEvaluator(options(policy(old=old, new=new)))


def test_other_networks_and_joints_are_refused_in_words(policy) -> None:
    with pytest.raises(ControllerInputError, match="the network gives 7 numbers, expected 12"):
        LeggedEvaluator(options(policy(np.zeros((WIDTH, 7)))))
    names = [f"joint{k}" for k in range(12)]
    path = policy(old="  rate", new=f"  joints: {names}\n  rate")
    measured = LeggedEvaluator(options(path)).evaluate(Trial(0, {}, {}, "trot", "manual", 0, False))
    assert measured.outcome == "failed"
    assert "policy.joints: go2 has no joint 'joint0': FL_hip_joint" in measured.message
    bias = np.zeros(12)
    bias[4] = np.nan
    measured = LeggedEvaluator(options(policy(bias=bias))).evaluate(
        Trial(0, {}, {}, "trot", "manual", 0, False)
    )
    assert "the command's position of FR_thigh_joint is nan" in measured.message


def test_without_the_extra_its_install_command_is_said(tmp_path, monkeypatch) -> None:
    (tmp_path / "policy.onnx").write_bytes(linear_network(np.zeros((WIDTH, 12)), np.zeros(12)))
    path = tmp_path / "policy.yaml"
    path.write_text(TEXT)
    whole = builtins.__import__

    def without(name, *rest):
        if name == "onnxruntime":
            raise ImportError(name)
        return whole(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ControllerInputError, match=r"needs ONNX Runtime.*pip install 'safebo\[policy\]'"):
        LeggedEvaluator(options(str(path)))
    listed = CliRunner().invoke(app, ["gains", "--controller", str(path)])  # the file alone says its gains
    assert "action.calf.scale" in listed.output
    assert read_policy_file(path).width == WIDTH
