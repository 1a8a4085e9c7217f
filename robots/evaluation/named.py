"""Objectives and margins that come with the project, each a text in the language of `safebo.robots.evaluation.stl`."""

from __future__ import annotations

NAMED_OBJECTIVES: dict[str, tuple[str, str, str]] = {
    "body_velocity": (
        "-mean(norm(velocity.x - command.x, velocity.y - command.y))",
        "m/s",
        "minus the mean error of the trunk's horizontal velocity",
    ),
    "body_attitude": ("-mean(norm(roll, pitch))", "rad", "minus the mean tilt of the trunk"),
    "body_height": (
        "-mean(abs(height - nominal_height))",
        "m",
        "minus the mean error of the trunk's height",
    ),
    "energy": ("-mean(sum(max(power, 0 W)))", "W", "minus the mean power of all motors where they drive"),
    "cost_of_transport": (
        "-mean(sum(max(power, 0 W))) / (weight * max(mean(norm(velocity.x, velocity.y)), 0.05 m/s))",
        "1",
        "minus the work of the motors for every metre and newton of weight",
    ),
    "torque_rate": ("-mean(norm(rate(torque)))", "N m/s", "minus the mean change of the commanded torques"),
    "foot_slip": (
        "-mean(sum(abs(foot.slip)))",
        "m/s",
        "minus the mean speed of sliding feet, all feet together",
    ),
    "torque_peak": ("-largest(max(abs(torque)))", "N m", "minus the largest commanded torque"),
    "power_peak": ("-largest(sum(max(power, 0 W)))", "W", "minus the largest power of all motors together"),
}
"""Text (to be maximised), unit and description."""

WATCHED_OBJECTIVES = ("body_velocity", "body_attitude", "body_height", "torque_rate", "energy")
"""Measured in every walk beside its objective, whatever is tuned: what may get worse unseen."""

NAMED_MARGINS: dict[str, tuple[str, str]] = {
    "body_velocity": (
        "always[1 s, end] norm(velocity.x - command.x, velocity.y - command.y) <= {limit}",
        "0.3 m/s",
    ),
    "body_attitude": ("always max(abs(roll), abs(pitch)) <= {limit}", "20 deg"),
    "body_height": ("always height >= {limit}", "0.75 * nominal_height"),
    "energy": ("always work <= {limit}", ""),
    "cost_of_transport": ("always[2 s, end] work / (weight * max(distance, 0.1 m)) <= {limit}", "1.5"),
    "torque_rate": ("always eventually[0 ms, 20 ms] max(abs(rate(torque))) <= {limit}", "2000 N m/s"),
    "foot_slip": ("always eventually[0 ms, 50 ms] max(foot.slip) <= {limit}", "0.2 m/s"),
    "torque_peak": ("always eventually[0 ms, 50 ms] max(torque_share) <= {limit}", "0.8"),
    "power_peak": ("always sum(max(power, 0 W)) <= {limit}", "400 W"),
}
"""Formula with the place of its limit, and the limit where a study gives none; empty: it has to."""
