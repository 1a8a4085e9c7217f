"""Gains of a simulated Go1 in crawl alone: what methods without contexts have."""

from experiments.papers.go1 import crawl_alone
from experiments.papers.study_task import StudyTask

task = StudyTask(
    "go1-crawl-alone", crawl_alone, 40, {"crawl": 0.0}, noise_free={"noise_free": True}, look_every=5
)
