"""The studies that ship with the project: YAML files beside this module, found by their entry points."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent

go1_trot = _HERE / "go1-trot.yaml"
"""Six joint gains of a trotting Go1."""

go1_gaits = _HERE / "go1-gaits.yaml"
"""The same gains over gaits as contexts: trot, then crawl."""

go1_robust = _HERE / "go1-robust.yaml"
"""The same gains in trot and crawl, safe under late torques, a load, a slippery floor and pushes."""

go1_mpc = _HERE / "go1-mpc.yaml"
"""Six gains of the Go1's model-predictive and swing controllers."""

go1_push = _HERE / "go1-push.yaml"
"""Gains of the Go1's footholds, MPC and swing legs, safe where it recovers from a push in time."""

go1_shaker = _HERE / "go1-shaker.yaml"
"""Stiffness and damping of a Go1's knees under a shaking machine: two islands of safe gains."""

go2_trot = _HERE / "go2-trot.yaml"
"""Six joint gains of a trotting Go2, simulated or on the robot."""

go2_mpc = _HERE / "go2-mpc.yaml"
"""Six gains of the Go2's model-predictive and swing controllers, simulated or on the robot."""

go2_stand_up = _HERE / "go2-stand-up.yaml"
"""Stiffness, damping and times with which a simulated Go2 gets up from its belly."""

pendulum = _HERE / "pendulum.yaml"
"""Two gains of a pendulum whose safe gains form two islands."""

gosafeopt_toy = _HERE / "gosafeopt-toy.yaml"
"""One gain of the system with which GoSafeOpt was first shown."""
