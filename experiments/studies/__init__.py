"""The studies that ship with the project: YAML files beside this module, found by their entry points."""

from __future__ import annotations

from pathlib import Path


def _beside(name: str) -> Path:
    return Path(__file__).resolve().parent / name


def go1_trot() -> Path:
    """Six joint gains of a trotting Go1."""
    return _beside("go1-trot.yaml")


def go1_gaits() -> Path:
    """The same gains over gaits as contexts: trot, then crawl."""
    return _beside("go1-gaits.yaml")


def go1_mpc() -> Path:
    """Six gains of the Go1's model-predictive and swing controllers."""
    return _beside("go1-mpc.yaml")


def go2_trot() -> Path:
    """Six joint gains of a trotting Go2, simulated or on the robot."""
    return _beside("go2-trot.yaml")


def go2_mpc() -> Path:
    """Six gains of the Go2's model-predictive and swing controllers, simulated or on the robot."""
    return _beside("go2-mpc.yaml")


def pendulum() -> Path:
    """Two gains of a pendulum whose safe gains form two islands."""
    return _beside("pendulum.yaml")


def gosafeopt_toy() -> Path:
    """One gain of the system with which GoSafeOpt was first shown."""
    return _beside("gosafeopt-toy.yaml")
