"""Files of a user's own controller: numbers that are changed in them, and what is refused."""

import sys

import pytest
import yaml
from hypothesis import example as for_example
from hypothesis import given, settings
from hypothesis import strategies as st
from relayed_world import EXAMPLE

from safebo.hardware.adapters.relay import read_controller
from safebo.hardware.errors import HardwareInputError
from safebo.robots.controllers.controller_file import read_controller_file
from safebo.robots.controllers.file_and_restart import FileAndRestartPort
from safebo.robots.controllers.gains_text import TextFormat, read_numbers, replace_numbers
from safebo.robots.controllers.ports import gain_port
from safebo.robots.controllers.protocol import ControllerInputError, GainPortError

pytestmark = pytest.mark.slow

TEXTS = {
    TextFormat.YAML: (
        "# mine\nstance:\n  kp: 60   # N m/rad\n  name: 'text'\nweights: [1.0, 2.5e1, 3]\nQ: {a: {b: -4}}\n",
        {"p": "stance.kp", "w": "weights.1", "q": "Q.a.b"},
        {"p": 60.0, "w": 25.0, "q": -4.0},
    ),
    TextFormat.INFO: (
        "; of OCS2's kind\nswing\n{\n  kp 350 ; N/m\n  kd 37.5\n}\nQ {\n scaling 1e+0\n (0,0) 15.0\n  (1,1) 3e1 }\n",
        {"p": "swing.kp", "w": "Q.(1,1)", "q": "Q.scaling"},
        {"p": 350.0, "w": 30.0, "q": 1.0},
    ),
}


@settings(max_examples=25, deadline=None, derandomize=True)
@for_example(kind=TextFormat.YAML, values={"p": 1e-05})
@given(
    kind=st.sampled_from(list(TEXTS)),
    values=st.dictionaries(
        st.sampled_from("pwq"), st.floats(allow_nan=False, allow_infinity=False), min_size=1
    ),
)
def test_numbers_change_in_a_text_and_nothing_else(kind, values) -> None:
    text, paths, at_first = TEXTS[kind]
    assert read_numbers(text, kind, paths) == at_first
    changed = replace_numbers(text, kind, paths, values)
    assert read_numbers(changed, kind, paths) == at_first | values
    assert replace_numbers(changed, kind, paths, at_first) == replace_numbers(text, kind, paths, at_first)
    if kind is TextFormat.YAML:
        loaded = yaml.safe_load(changed)
        assert loaded["stance"]["kp"] == (at_first | values)["p"]
        assert loaded["stance"]["name"] == "text"
        assert "# mine" in changed
        assert "# N m/rad" in changed


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("yaml", "a: 1\na: 2", "no single 'a'"),
        ("yaml", "b: 1", "no single 'a'"),
        ("yaml", "a: '1'", "no single 'a'"),
        ("yaml", "a: ten", "expected a finite number, got 'ten'"),
        ("yaml", "a: .nan", "expected a finite number"),
        ("yaml", "a: [", "not valid YAML"),
        ("info", "a 1\na 2", "no single 'a'"),
        ("info", "a {", "never closed"),
        ("info", "}", "never opened"),
        ("info", "a inf", "expected a finite number"),
    ],
)
def test_a_text_without_the_number_is_refused_in_words(kind, text, words) -> None:
    with pytest.raises(GainPortError, match=words):
        read_numbers(text, TextFormat(kind), {"x": "a"})


BAD = [
    (
        "address: 127.0.0.1:4760",
        "address: 192.168.1.5:4760",
        "controller.address: '192.168.1.5:4760' is not allowed",
    ),
    ("lower: 30", "lower: 300", "gains.stance.kp.upper: 120 is below lower, 300"),
    (
        "baseline: 60",
        "baseline: 600",
        "gains.stance.kp.baseline: 600 is not allowed; expected a number from 30 to 120",
    ),
    (
        "baseline: 60",
        "baseline: .nan",
        "gains.stance.kp.baseline: must be a finite number, not .nan",
    ),
    ("upper: 6,", "", "gains.stance.kd.upper: is missing"),
    ("upper: 6,", "upper: 6, uper: 7,", "gains.stance.kd.uper: unknown key"),
    ("stance.kd: {", "stance.kp: {", "gains.stance.kp: the key is there twice"),
    (
        "kind: ros-parameters",
        "kind: lcm",
        "gain_port.kind: 'lcm' is not allowed; expected file, file-and-restart, ros2 or ros",
    ),
    (
        "parameter_client.py:connect",
        "parameter_client.py",
        "gain_port.client: 'parameter_client.py' is not allowed",
    ),
    ("switches_within_a_tick: true", "switches_within_a_tick: 1", "expected true or false"),
    ("switches_within_a_tick: true", "budget: 0.1", "controller.budget: 0.1 is not allowed"),
    ('node: "4761"', "node: 4761", "gain_port.node: 4761 is not allowed; expected a text"),
    ('node: "4761"', 'node: "4761"\n  names: {bob: x}', "gain_port.names.bob: there is no such gain"),
    ('node: "4761"', 'node: "4761"\n  names: {stance.kp: stance.kd}', "two gains have the same name"),
    ("gain_port:", "gain_ports:", "gain_port: is missing"),
    ("gains:", "gains: {", "not valid YAML"),
]


@pytest.mark.parametrize(("old", "new", "words"), BAD)
def test_a_bad_controller_file_is_refused_with_file_key_and_what_is_allowed(
    tmp_path, old, new, words
) -> None:
    text = (EXAMPLE / "parameter_controller.yaml").read_text()
    assert old in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(HardwareInputError) as error:
        read_controller(path)
    assert str(error.value).startswith(f"{path}:")
    assert words in str(error.value)


def test_what_the_controller_file_points_at_is_looked_at_before_the_robot(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text((EXAMPLE / "parameter_controller.yaml").read_text())
    with pytest.raises(
        ControllerInputError, match=r"gain_port.client: .*parameter_client.py is no Python file"
    ):
        gain_port(read_controller_file(path))
    path.write_text((EXAMPLE / "file_controller.yaml").read_text())
    with pytest.raises(ControllerInputError, match=r"gain_port.file: .*gains.yaml: no such file"):
        gain_port(read_controller_file(path))
    (tmp_path / "gains.yaml").write_text("stance: {kp: 60}")
    with pytest.raises(ControllerInputError, match=r"no single 'stance\.kd'"):
        gain_port(read_controller_file(path))


def test_a_restart_that_fails_says_so_and_leaves_a_whole_file(tmp_path) -> None:
    path = tmp_path / "gains.yaml"
    path.write_text("kp: 1.0  # mine\n")
    path.chmod(0o640)
    say = "import sys; print('no such unit'); sys.exit(4)"
    port = FileAndRestartPort(path, TextFormat.YAML, {"kp": "kp"}, [sys.executable, "-c", say])
    with pytest.raises(GainPortError, match="ended with 4: no such unit"):
        port.write({"kp": 2.5})
    assert path.read_text() == "kp: 2.5  # mine\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [file.name for file in tmp_path.iterdir()] == ["gains.yaml"]
    slow = FileAndRestartPort(path, TextFormat.YAML, {"kp": "kp"}, ["sleep", "5"], 0.05)
    with pytest.raises(GainPortError, match=r"took longer than 0\.05 s"):
        slow.write({"kp": 3.0})
    # a terminal's Ctrl-C, which goes to the guardian's whole process group, must not reach the controller
    alone = "import os, sys; sys.exit(os.getsid(0) != os.getpid() or os.getcwd() != sys.argv[1])"
    command = [sys.executable, "-c", alone, str(tmp_path)]
    FileAndRestartPort(path, TextFormat.YAML, {"kp": "kp"}, command).write({"kp": 3.0})
    gone = FileAndRestartPort(path, TextFormat.YAML, {"kp": "kp"}, ["no-such-program"])
    with pytest.raises(GainPortError, match="cannot be run"):
        gone.write({"kp": 3.0})
