"""Shapes that make the robot look like itself. They carry no mass and touch nothing."""

from __future__ import annotations

from safebo.robots.descriptions.description import RobotDescription, fore_sign, side_sign


def _colour(description: RobotDescription, name: str) -> str:
    rgba = description.colours.get(name, (0.5, 0.5, 0.52, 1.0))
    return f'rgba="{" ".join(str(value) for value in rgba)}"'


def _geom(kind: str, colour: str, **attributes: str) -> str:
    body = " ".join(f'{key}="{value}"' for key, value in attributes.items())
    return f'<geom class="drawn" type="{kind}" {colour} {body}/>'


def drawn_trunk(description: RobotDescription) -> str:
    """Trunk, back, belly, head with its camera strip."""
    shell, leg = _colour(description, "shell"), _colour(description, "leg")
    accent, light = _colour(description, "accent"), _colour(description, "light")
    hip_x, _, _ = description.hip_position
    (head_x, _, head_z), (head_a, head_b, head_c) = description.head_box
    back = hip_x - 0.02
    parts = [
        # the long hull between the hips, rounded along its upper edges
        _geom("box", shell, size=f"{back} 0.062 0.045", pos="0 0 0.004"),
        _geom("capsule", shell, size="0.030", fromto=f"{-back} 0.040 0.030 {back} 0.040 0.030"),
        _geom("capsule", shell, size="0.030", fromto=f"{-back} -0.040 0.030 {back} -0.040 0.030"),
        _geom("box", leg, size=f"{back - 0.03} 0.050 0.012", pos="0 0 -0.046"),
        _geom("box", accent, size=f"{back - 0.05} 0.018 0.004", pos="-0.01 0 0.060"),
        # the blocks that carry the abduction motors
        _geom("box", leg, size="0.040 0.055 0.046", pos=f"{hip_x} 0 0"),
        _geom("box", leg, size="0.040 0.055 0.046", pos=f"{-hip_x} 0 0"),
        # neck and head
        _geom("box", shell, size="0.035 0.044 0.034", pos=f"{(hip_x + head_x) / 2 + 0.01} 0 0.012"),
        _geom(
            "ellipsoid", shell, size=f"{head_a + 0.028} {head_b} {head_c}", pos=f"{head_x} 0 {head_z + 0.012}"
        ),
        _geom(
            "box",
            leg,
            size=f"0.012 {head_b * 0.62} {head_c * 0.42}",
            pos=f"{head_x + head_a + 0.012} 0 {head_z + 0.014}",
        ),
        _geom(
            "cylinder",
            light,
            size="0.008 0.003",
            pos=f"{head_x + head_a + 0.024} 0.018 {head_z + 0.016}",
            euler="0 1.5708 0",
        ),
        _geom(
            "cylinder",
            light,
            size="0.008 0.003",
            pos=f"{head_x + head_a + 0.024} -0.018 {head_z + 0.016}",
            euler="0 1.5708 0",
        ),
    ]
    return "\n      ".join(parts)


def drawn_hip(description: RobotDescription, leg: str) -> str:
    """The abduction motor along x and the thigh motor along y."""
    side, fore = side_sign(leg), fore_sign(leg)
    dark, accent = _colour(description, "leg"), _colour(description, "accent")
    width = description.thigh_position[1]
    return "\n        ".join(
        [
            _geom("cylinder", dark, size="0.046 0.022", pos="0 0 0", euler="0 1.5708 0"),
            _geom("cylinder", accent, size="0.030 0.004", pos=f"{fore * 0.025} 0 0", euler="0 1.5708 0"),
            _geom(
                "cylinder",
                dark,
                size=f"0.044 {width * 0.30}",
                pos=f"0 {side * width * 0.52} 0",
                euler="1.5708 0 0",
            ),
        ]
    )


def drawn_thigh(description: RobotDescription, leg: str) -> str:
    """The motor disc and a thigh that narrows towards the knee."""
    side = side_sign(leg)
    shell, dark, accent = (
        _colour(description, "shell"),
        _colour(description, "leg"),
        _colour(description, "accent"),
    )
    length = description.thigh_length
    return "\n          ".join(
        [
            _geom("cylinder", shell, size="0.046 0.018", pos=f"0 {side * 0.004} 0", euler="1.5708 0 0"),
            _geom("cylinder", accent, size="0.028 0.003", pos=f"0 {side * 0.023} 0", euler="1.5708 0 0"),
            _geom("ellipsoid", shell, size=f"0.034 0.018 {length * 0.42}", pos=f"-0.006 0 {-length * 0.40}"),
            _geom("capsule", shell, size="0.016", fromto=f"-0.004 0 {-length * 0.45} 0 0 {-length}"),
            _geom("cylinder", dark, size="0.021 0.017", pos=f"0 0 {-length}", euler="1.5708 0 0"),
        ]
    )


def drawn_calf(description: RobotDescription) -> str:
    """A slim, slightly bowed shank and a rubber foot."""
    dark, accent = _colour(description, "leg"), _colour(description, "accent")
    x, y, z = description.foot_position
    rubber = 'rgba="0.07 0.07 0.08 1"'
    return "\n            ".join(
        [
            _geom("capsule", dark, size="0.0145", fromto=f"0 0 0 0.010 0 {0.42 * z}"),
            _geom("capsule", accent, size="0.0110", fromto=f"0.010 0 {0.42 * z} {x} {y} {0.92 * z}"),
            _geom("sphere", rubber, size=f"{description.foot_radius}", pos=f"{x} {y} {z}"),
        ]
    )
