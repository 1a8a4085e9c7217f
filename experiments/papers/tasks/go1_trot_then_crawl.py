"""Gains of a simulated Go1 in trot, then in crawl: gaits are contexts of one surrogate."""

from safebo.experiments.bench.study_problem import StudyProblem
from safebo.experiments.papers.go1 import NO_COST, SOURCE, TRIALS, trot_then_crawl

task = StudyProblem("go1-trot-then-crawl", trot_then_crawl(), TRIALS, NO_COST, SOURCE, checkpoints=24)
