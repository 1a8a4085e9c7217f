"""Gains of a simulated Go1 in crawl alone: what methods without contexts have."""

from safebo.experiments.bench.study_problem import StudyProblem
from safebo.experiments.papers.go1 import ALONE, NO_COST, SOURCE, crawl_alone

task = StudyProblem(
    "go1-crawl-alone", crawl_alone(), ALONE, {"crawl": NO_COST["crawl"]}, SOURCE, checkpoints=8
)
