"""Records that other tools open: read by the format's own reader, as Foxglove documents it, refused when broken.

`trial-layout-1.mcap` was written by the version before names were in the arrays: its rows are n / 7.
"""

from __future__ import annotations

import contextlib
import json
import math
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pinocchio
import pytest
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap_structure import OUT_OF_ORDER, Structure

from safebo.experiments.robustness.robot_run import RobotRun, ScheduledWorld
from safebo.hardware.errors import HardwareInputError
from safebo.hardware.guardian.limits import LIMITS
from safebo.hardware.guardian.telemetry import COLUMNS
from safebo.hardware.guardian.wall_clock import WallClock
from safebo.hardware.records.reading import contents, messages, recover
from safebo.hardware.records.robot_drawing import RobotDrawing
from safebo.hardware.records.row_format import RowFormat
from safebo.hardware.tuning.recording import TrialRecorder, read_telemetry, wall_times
from safebo.robots.descriptions.model import load_robot
from safebo.study.reading import load_study, study_hash

OLD = Path(__file__).with_name("trial-layout-1.mcap")
WALL = COLUMNS.index("wall_time")


class TimedWorld(ScheduledWorld):
    """Remembers what the wall clock said before and after every tick, by the guardian's clock."""

    def __init__(self) -> None:
        super().__init__()
        self.walls: dict[float, tuple[float, float]] = {}

    def tick(self) -> Any:
        now, before = self.now, time.time()
        command = super().tick()
        self.walls[now] = before, time.time()
        return command


@pytest.fixture(scope="module")
def trial(tmp_path_factory) -> Iterator[tuple[Path, TimedWorld]]:
    """The record of a trial that was walked."""
    world = TimedWorld()
    run = RobotRun(tmp_path_factory.mktemp("run"), world)
    story = run.run(run.trial(stiffness=91.0))
    assert story.error is None
    yield run.folder / "trajectories" / "trial-00001.mcap", world
    run.close()


def read(path: Path) -> tuple[list[tuple[Any, Any, Any]], dict[str, dict[str, str]], dict[str, bytes]]:
    """All messages, metadata and attachments by the format's own reader, which uses the file's index."""
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None
        assert summary.statistics is not None
        found = list(reader.iter_messages())
        assert len(found) == summary.statistics.message_count
        about = {record.name: dict(record.metadata) for record in reader.iter_metadata()}
        return found, about, {record.name: record.data for record in reader.iter_attachments()}


# -- what is in the file of a trial -----------------------------------------------------------------------


def test_a_trials_record_says_what_it_is_about(trial) -> None:
    found, about, files = read(trial[0])
    topics = {channel.topic for _, channel, _ in found}
    assert topics == {"/telemetry", "/state", "/joint_states", "/tf", "/robot", "/log"}
    study = load_study("go1-trot")
    assert about["study"] == {"name": "go1-trot", "hash": study_hash(study.study)}
    assert files == {"study.yaml": study.text.encode()}
    assert (about["safebo"]["record"], about["safebo"]["layout"]) == ("trial", "2")
    assert about["robot"] == {"name": "go1", "serial": "none", "virtual": "True"}
    assert about["limits"] == {x.name: f"{x.threshold!r} {x.unit}".rstrip() for x in LIMITS}
    assert float(about["baseline"]["joint.hip.kp"]) != 91.0
    assert about["gains"] == {**about["baseline"], **about["parameters"]}
    assert about["parameters"]["joint.hip.kp"] == "91.0"
    assert about["guardian"]["loosened"] == "no limit"
    assert (about["trial"]["number"], about["trial"]["phase"]) == ("1", "seed")


def test_times_are_the_walls(trial) -> None:
    path, world = trial
    found, about, _ = read(path)
    ticks = [(json.loads(m.data), m) for _, c, m in found if c.topic == "/telemetry"]
    assert len(ticks) > 500
    behind = float(about["clock"]["guardian's is behind by, s"])
    assert 0 <= behind < 0.01
    for body, message in ticks:
        before, after = world.walls[body["time"]]
        assert before - 1e-4 <= body["wall_time"] <= after + 1e-4
        assert 1e-9 * message.log_time == pytest.approx(body["wall_time"] + behind, abs=1e-6)
        assert message.publish_time == message.log_time
    for body, message in ((json.loads(m.data), m) for _, c, m in found if c.topic == "/state"):
        assert 1e-9 * message.log_time >= world.walls[body["time"]][0]


def test_the_clock_of_another_computer_does_not_move_the_record() -> None:
    """The guardian's wall clock is an hour behind; States took 3 ms or longer."""
    rows = np.zeros((4, len(COLUMNS)))
    rows[:, COLUMNS.index("time")] = [5.0, 5.002, 5.004, 5.006]
    rows[:, WALL] = 1.7e9 + rows[:, COLUMNS.index("time")]
    truth = rows[:, WALL] + 3600.0
    arrivals = {5.002: truth[1] + 0.050, 5.006: truth[3] + 0.003, 9.0: 0.0}
    walls, about = wall_times(rows, arrivals)
    assert walls == pytest.approx(truth + 0.003, abs=1e-6)
    assert about["States compared"] == "2"
    alone, about = wall_times(rows, {})
    assert np.array_equal(alone, rows[:, WALL])
    assert "of the guardian's wall clock" in about["times"]


def test_a_clock_that_is_set_in_a_trial_does_not_tear_its_record() -> None:
    wall, monotonic = [1.7e9], [50.0]
    clock = WallClock(lambda: wall[0], lambda: monotonic[0])
    wall[0] += 3600.0 + 0.1
    monotonic[0] += 0.1
    assert clock() == pytest.approx(1.7e9 + 0.1, abs=1e-6)
    clock.set()
    assert clock() == pytest.approx(1.7e9 + 3600.1, abs=1e-6)


# -- what the format asks for -----------------------------------------------------------------------------


def test_a_trials_record_is_built_as_the_format_says(trial) -> None:
    """Order, index, statistics and checksums, walked without the index: what the format's command line looks for."""
    structure = Structure(trial[0])
    assert set(structure.faults) <= {OUT_OF_ORDER}  # ticks are fetched after the trial, behind its States
    by_index = [message.log_time for _, _, message in read(trial[0])[0]]
    assert by_index == sorted(structure.times)
    assert len(by_index) > 1000


NO_RECORD = (ValueError, KeyError, EOFError, struct.error, MemoryError, McapError)


def test_the_structures_checker_sees_every_changed_byte_of_the_index(small, tmp_path) -> None:
    data, path = small.read_bytes(), tmp_path / "bad.mcap"
    assert set(Structure(small).faults) <= {OUT_OF_ORDER}  # its times are random numbers
    footer = len(data) - 8 - 20
    begins = int.from_bytes(data[footer : footer + 8], "little")
    for place in range(begins + 1, len(data), (len(data) - begins) // 40):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        with contextlib.suppress(*NO_RECORD):
            assert set(Structure(path).faults) - {OUT_OF_ORDER}, place


# -- what Foxglove documents ------------------------------------------------------------------------------

VECTOR = {"x": float, "y": float, "z": float}
QUATERNION = {**VECTOR, "w": float}
COLOUR = {"r": float, "g": float, "b": float, "a": float}
TIME = {"sec": int, "nsec": int}
POSE = {"position": VECTOR, "orientation": QUATERNION}
POINTS = {"pose": POSE, "points": [VECTOR], "color": COLOUR, "colors": [COLOUR], "indices": [int]}
SIZED = {"pose": POSE, "size": VECTOR, "color": COLOUR}
DOCUMENTED: dict[str, dict[str, Any]] = {
    "foxglove.FrameTransforms": {
        "transforms": [
            {
                "timestamp": TIME,
                "parent_frame_id": str,
                "child_frame_id": str,
                "translation": VECTOR,
                "rotation": QUATERNION,
            }
        ]
    },
    "foxglove.JointStates": {
        "timestamp": TIME,
        "joints": [{"name": str, "position": float, "velocity": float, "effort": float}],
    },
    "foxglove.Log": {
        "timestamp": TIME,
        "level": int,
        "message": str,
        "name": str,
        "file": str,
        "line": int,
    },
    "foxglove.SceneUpdate": {
        "deletions": [{"timestamp": TIME, "type": int, "id": str}],
        "entities": [
            {
                "timestamp": TIME,
                "frame_id": str,
                "id": str,
                "lifetime": TIME,
                "frame_locked": bool,
                "metadata": [{"key": str, "value": str}],
                "arrows": [],
                "cubes": [SIZED],
                "spheres": [SIZED],
                "cylinders": [{**SIZED, "bottom_scale": float, "top_scale": float}],
                "lines": [],
                "triangles": [POINTS],
                "texts": [],
                "models": [],
            }
        ],
    },
}
"""Fields by schema as docs.foxglove.dev lists them, of what is used here."""


def check(value: Any, documented: Any, place: str) -> None:
    """Whether a value has exactly the documented fields, of the documented kinds, all of them finite."""
    if isinstance(documented, dict):
        assert set(value) == set(documented), place
        for name, kind in documented.items():
            check(value[name], kind, f"{place}.{name}")
    elif isinstance(documented, list):
        assert isinstance(value, list), place
        assert documented or not value, place
        for item in value:
            check(item, documented[0], place)
    elif documented is float:
        assert isinstance(value, int | float), place
        assert not isinstance(value, bool), place
        assert math.isfinite(value), place
    else:
        assert type(value) is documented, place


def test_foxglove_draws_and_lists_what_it_documents(trial) -> None:
    found, _, _ = read(trial[0])
    seen = set()
    for schema, channel, message in found:
        assert (schema.encoding, channel.message_encoding) == ("jsonschema", "json")
        definition, body = json.loads(schema.data), json.loads(message.data, parse_constant=pytest.fail)
        assert (definition["type"], definition["title"]) == ("object", schema.name)
        if schema.name not in seen:
            jsonschema.Draft202012Validator.check_schema(definition)
            jsonschema.validate(body, definition)
        if schema.name.startswith("foxglove."):
            check(body, DOCUMENTED[schema.name], schema.name)
            stamps = [body, *body.get("transforms", []), *body.get("entities", [])]
            times = [part["timestamp"] for part in stamps if "timestamp" in part]
            assert {t["sec"] * 10**9 + t["nsec"] for t in times} == {message.log_time}
        else:
            assert set(body) == set(definition["properties"])
        seen.add(schema.name)
    assert seen == {*DOCUMENTED, "safebo/Telemetry", "safebo/State"}


def test_a_viewer_finds_every_joint_by_its_name(trial) -> None:
    telemetry, state, joints = {}, {}, {}
    for schema, _, message in read(trial[0])[0]:
        body = json.loads(message.data)
        if schema.name == "safebo/Telemetry":
            telemetry[body["time"]] = body
        elif schema.name == "safebo/State":
            state[body["time"]] = body
        elif schema.name == "foxglove.JointStates":
            joints[message.log_time] = body
    shared = [time for time in state if time in telemetry]
    assert len(shared) > 50
    for moment in shared:
        for leg in ("fl", "fr", "rl", "rr"):
            for joint in ("hip", "thigh", "calf"):
                one, other = telemetry[moment], state[moment]
                assert other["position"][leg][joint] == pytest.approx(
                    one["joint_position"][leg][joint], abs=1e-6
                )
        assert state[moment]["state_name"] == "RUNNING"
    names = {tuple(joint["name"] for joint in body["joints"]) for body in joints.values()}
    assert names == {load_robot("go1").joint_names}
    assert len(joints) == -(-len(telemetry) // 10)  # 50 of 500 a second


@pytest.mark.parametrize("name", ["go1", "go2"])
def test_every_body_is_drawn_where_another_engine_has_it(name) -> None:
    """The chain of frames from the world to every link, against Pinocchio's kinematics; no frame hangs in the air."""
    robot, drawing = load_robot(name), RobotDrawing(load_robot(name))
    position, turn = np.array([0.3, -0.2, 0.31]), np.array([0.9, 0.1, -0.2, 0.3])
    turn /= np.linalg.norm(turn)
    joints = robot.home_joints + np.linspace(-0.2, 0.3, 12)
    frames = json.loads(drawing.frames(7, position, turn, joints))["transforms"]
    model = robot.load_pinocchio()
    index, data = robot.pinocchio_index(model), None
    data = model.createData()
    q = pinocchio.neutral(model)
    q[:3], q[3:7] = position, turn[[1, 2, 3, 0]]
    q[index.q] = joints
    pinocchio.framesForwardKinematics(model, data, q)
    placed = {"world": pinocchio.SE3.Identity()}
    for frame in frames:
        t, r = frame["translation"], frame["rotation"]
        rotation = pinocchio.Quaternion(r["w"], r["x"], r["y"], r["z"]).matrix()
        here = pinocchio.SE3(rotation, np.array([t["x"], t["y"], t["z"]]))
        placed[frame["child_frame_id"]] = placed[frame["parent_frame_id"]] * here
    assert len(frames) == 13
    for leg in robot.legs:
        for part in ("hip", "thigh", "calf"):
            expected = data.oMf[model.getFrameId(f"{leg}_{part}")]
            assert placed[f"{leg}_{part}"].isApprox(expected, 1e-6), (leg, part)
    entities = json.loads(drawing.scene(7))["entities"]
    assert {entity["frame_id"] for entity in entities} == {frame["child_frame_id"] for frame in frames}
    for entity in entities:
        shapes = sum(len(entity[kind]) for kind in ("cubes", "spheres", "cylinders", "triangles"))
        assert shapes > 0, entity["id"]


# -- numbers ----------------------------------------------------------------------------------------------


def test_numbers_keep_every_bit_and_what_is_none_is_left_out() -> None:
    rows = RowFormat("x", ("time", "a.b.c", "a.b.d", "a.e"), {"a": "m"})
    row = [0.1 + 0.2, 5e-324, -1.7976931348623157e308, 1.0]
    assert rows.decode(json.loads(rows.encode(row))) == row
    text = rows.encode([1.0, math.nan, 2.0, math.inf])
    assert json.loads(text) == {"time": 1.0, "a": {"b": {"d": 2.0}}}
    assert np.array_equal(rows.decode(json.loads(text)), [1.0, math.nan, 2.0, math.nan], equal_nan=True)
    with pytest.raises(ValueError, match=r"a\.e is 'far', not a number"):
        rows.decode({"a": {"e": "far"}})
    jsonschema.validate(json.loads(text), rows.schema())


# -- older files ------------------------------------------------------------------------------------------


def test_files_of_the_first_layout_are_read(tmp_path) -> None:
    rows = read_telemetry(OLD)
    assert np.array_equal(rows[:, :WALL], np.arange(12 * 125).reshape(12, 125) / 7.0)
    assert np.isnan(rows[:, WALL]).all()


# -- broken files -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A record of 100 ticks, in several chunks."""
    path = tmp_path_factory.mktemp("small") / "a.mcap"
    recorder = TrialRecorder(path, {"trial": {"number": 1}})
    recorder.telemetry(np.abs(np.random.default_rng(0).normal(size=(100, len(COLUMNS)))))
    recorder.close()
    return path


@pytest.mark.parametrize("share", [0.0001, 0.1, 0.5, 0.9, 0.99, 0.9999])
def test_a_file_that_was_cut_is_refused(small, tmp_path, share) -> None:
    data, path = small.read_bytes(), tmp_path / "cut.mcap"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(
        HardwareInputError, match=r"cut\.mcap: (is no MCAP file|ends too early, after \d+ messages)"
    ):
        read_telemetry(path)


def test_no_changed_byte_goes_unseen(small, tmp_path) -> None:
    """Refused, or (in what no checksum covers: the index) read to the same bits."""
    data, path, truth = small.read_bytes(), tmp_path / "bad.mcap", read_telemetry(small)
    refused = 0
    for place in range(3, len(data), len(data) // 20):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            assert np.array_equal(read_telemetry(path), truth), place
        except HardwareInputError:
            refused += 1
    assert refused > 15


def test_other_files_are_refused_by_what_is_wrong(tmp_path) -> None:
    path = tmp_path / "x.mcap"
    for data in (b"", b"no", OLD.read_bytes()[8:]):
        path.write_bytes(data)
        with pytest.raises(HardwareInputError, match=r"x\.mcap: is no MCAP file"):
            list(contents(path))
        with pytest.raises(HardwareInputError, match=r"x\.mcap: holds no message that can be read"):
            recover(path, tmp_path / "y.mcap")
    with pytest.raises(HardwareInputError, match=r"gone\.mcap: No such file"):
        read_telemetry(tmp_path / "gone.mcap")
    assert not (tmp_path / "y.mcap").exists()


def test_of_a_damaged_file_all_but_the_damaged_piece_is_recovered(small, tmp_path) -> None:
    data, bad, whole = small.read_bytes(), tmp_path / "bad.mcap", tmp_path / "whole.mcap"
    place = len(data) // 2
    bad.write_bytes(data[:place] + bytes(40) + data[place + 40 :])
    with pytest.raises(HardwareInputError, match="robot recover"):
        read_telemetry(bad)
    saved = recover(bad, whole)
    truth, kept = read_telemetry(small), read_telemetry(whole)
    assert saved.chunks == 1
    assert 60 < len(kept) < 100
    assert all((truth == row).all(axis=1).any() for row in kept)
    about = read(whole)[1]
    assert about["trial"] == {"number": "1"}
    assert about["recovered"] == {"from": "bad.mcap", "messages": str(saved.messages), "damaged chunks": "1"}
    with pytest.raises(HardwareInputError, match=r"whole\.mcap: File exists"):
        recover(bad, whole)


def test_a_whole_record_is_recovered_as_it_is(trial, tmp_path) -> None:
    path = trial[0]
    recover(path, tmp_path / "b.mcap")
    assert list(messages(tmp_path / "b.mcap")) == list(messages(path))
    (found, about, files), (again, told, kept) = read(path), read(tmp_path / "b.mcap")
    assert kept == files
    assert {name: told[name] for name in about} == about
    for one, other in zip(found, again, strict=True):
        assert (one[0].name, one[0].data, one[1].metadata) == (
            other[0].name,
            other[0].data,
            other[1].metadata,
        )
        assert (one[2].log_time, one[2].sequence) == (other[2].log_time, other[2].sequence)
