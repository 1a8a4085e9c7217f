"""The shipped study `pendulum`: two islands of safe gains, the better one without the seed."""

from safebo.experiments.bench.study_problem import StudyProblem
from safebo.experiments.evidence.pendulum_landscape import brute_force
from safebo.study.reading import load_study

POINTS = 201
"""Per gain, of the grid that tells the best safe gains."""

task = StudyProblem(
    "pendulum-islands",
    load_study("pendulum").study,
    150,
    {"default": round(float(brute_force(POINTS).best_region.best_objective), 9)},
    f"a grid of {POINTS} x {POINTS} gains",
    checkpoints=50,
)
