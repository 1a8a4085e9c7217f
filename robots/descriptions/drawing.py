"""Shapes that make the robot look like itself. They carry no mass and touch nothing."""

from __future__ import annotations

from collections.abc import Sequence

from safebo.robots.descriptions.description import RobotDescription, fore_sign, side_sign


def _colour(description: RobotDescription, name: str) -> str:
    rgba = description.colours.get(name, (0.5, 0.5, 0.52, 1.0))
    return f'rgba="{" ".join(str(value) for value in rgba)}"'


def _geom(kind: str, colour: str, **attributes: str) -> str:
    body = " ".join(f'{key}="{value}"' for key, value in attributes.items())
    return f'<geom class="drawn" type="{kind}" {colour} {body}/>'


def _capsule(colour: str, radius: float, start: Sequence[float], end: Sequence[float]) -> str:
    return _geom("capsule", colour, size=str(radius), fromto=" ".join(str(v) for v in (*start, *end)))


def _scale(description: RobotDescription) -> float:
    """How large the robot is beside those for which the thicknesses here were chosen, by its legs."""
    return (description.thigh_length - description.foot_position[2]) / 0.426


def _row(scale: float, *values: float) -> str:
    """Lengths times a scale, as an attribute."""
    return " ".join(str(scale * value) for value in values)


def drawn_trunk(description: RobotDescription) -> str:
    """Trunk, back, belly, head with its camera strip."""
    shell, leg = _colour(description, "shell"), _colour(description, "leg")
    accent, light = _colour(description, "accent"), _colour(description, "light")
    hip_x, _, _ = description.hip_position
    (head_x, _, head_z), (head_a, head_b, head_c) = description.head_box
    s = _scale(description)
    back = hip_x - 0.02 * s
    parts = [
        # the long hull between the hips, rounded along its upper edges
        _geom("box", shell, size=f"{back} {_row(s, 0.062, 0.045)}", pos=f"0 0 {_row(s, 0.004)}"),
        _capsule(shell, 0.030 * s, (-back, 0.040 * s, 0.030 * s), (back, 0.040 * s, 0.030 * s)),
        _capsule(shell, 0.030 * s, (-back, -0.040 * s, 0.030 * s), (back, -0.040 * s, 0.030 * s)),
        _geom("box", leg, size=f"{back - 0.03 * s} {_row(s, 0.050, 0.012)}", pos=f"0 0 {_row(s, -0.046)}"),
        _geom("box", accent, size=f"{back - 0.05 * s} {_row(s, 0.018, 0.004)}", pos=_row(s, -0.01, 0, 0.060)),
        # the blocks that carry the abduction motors
        _geom("box", leg, size=_row(s, 0.040, 0.055, 0.046), pos=f"{hip_x} 0 0"),
        _geom("box", leg, size=_row(s, 0.040, 0.055, 0.046), pos=f"{-hip_x} 0 0"),
        # neck and head
        _geom(
            "box",
            shell,
            size=_row(s, 0.035, 0.044, 0.034),
            pos=f"{(hip_x + head_x) / 2 + 0.01 * s} 0 {0.012 * s}",
        ),
        _geom(
            "ellipsoid",
            shell,
            size=f"{head_a + 0.028 * s} {head_b} {head_c}",
            pos=f"{head_x} 0 {head_z + 0.012 * s}",
        ),
        _geom(
            "box",
            leg,
            size=f"{0.012 * s} {head_b * 0.62} {head_c * 0.42}",
            pos=f"{head_x + head_a + 0.012 * s} 0 {head_z + 0.014 * s}",
        ),
        _geom(
            "cylinder",
            light,
            size=_row(s, 0.008, 0.003),
            pos=f"{head_x + head_a + 0.024 * s} {0.018 * s} {head_z + 0.016 * s}",
            euler="0 1.5708 0",
        ),
        _geom(
            "cylinder",
            light,
            size=_row(s, 0.008, 0.003),
            pos=f"{head_x + head_a + 0.024 * s} {-0.018 * s} {head_z + 0.016 * s}",
            euler="0 1.5708 0",
        ),
    ]
    return "\n      ".join(parts)


def drawn_hip(description: RobotDescription, leg: str) -> str:
    """The abduction motor along x and the thigh motor along y."""
    side, fore = side_sign(leg), fore_sign(leg)
    dark, accent = _colour(description, "leg"), _colour(description, "accent")
    s, (along, width, _) = _scale(description), description.thigh_position
    return "\n        ".join(
        [
            _geom("cylinder", dark, size=_row(s, 0.046, 0.022), pos="0 0 0", euler="0 1.5708 0"),
            _geom(
                "cylinder",
                accent,
                size=_row(s, 0.030, 0.004),
                pos=f"{fore * 0.025 * s} 0 0",
                euler="0 1.5708 0",
            ),
            _geom(
                "cylinder",
                dark,
                size=f"{0.044 * s} {width * 0.30}",
                pos=f"{fore * along} {side * width * 0.52} 0",
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
    s, length, knee = _scale(description), description.thigh_length, description.knee_of(leg)
    return "\n          ".join(
        [
            _geom(
                "cylinder",
                shell,
                size=_row(s, 0.046, 0.018),
                pos=f"0 {side * 0.004 * s} 0",
                euler="1.5708 0 0",
            ),
            _geom(
                "cylinder",
                accent,
                size=_row(s, 0.028, 0.003),
                pos=f"0 {side * 0.023 * s} 0",
                euler="1.5708 0 0",
            ),
            _geom(
                "ellipsoid",
                shell,
                size=f"{_row(s, 0.034, 0.018)} {length * 0.42}",
                pos=f"{-0.006 * s} {0.4 * knee[1]} {-length * 0.40}",
            ),
            _capsule(shell, 0.016 * s, (-0.004 * s, 0.45 * knee[1], -length * 0.45), knee),
            _geom(
                "cylinder", dark, size=_row(s, 0.021, 0.017), pos=f"0 {knee[1]} {-length}", euler="1.5708 0 0"
            ),
        ]
    )


def drawn_calf(description: RobotDescription, leg: str) -> str:
    """A slim, slightly bowed shank and a rubber foot."""
    dark, accent = _colour(description, "leg"), _colour(description, "accent")
    s, (x, y, z) = _scale(description), description.foot_of(leg)
    bend = (0.42 * x + 0.010 * s, 0.42 * y, 0.42 * z)
    rubber = 'rgba="0.07 0.07 0.08 1"'
    return "\n            ".join(
        [
            _capsule(dark, 0.0145 * s, (0.0, 0.0, 0.0), bend),
            _capsule(accent, 0.0110 * s, bend, (x, y, 0.92 * z)),
            _geom("sphere", rubber, size=f"{description.foot_radius}", pos=f"{x} {y} {z}"),
        ]
    )
