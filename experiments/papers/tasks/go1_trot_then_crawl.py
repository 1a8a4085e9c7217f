"""Gains of a simulated Go1 in trot, then in crawl: gaits are contexts of one surrogate."""

from experiments.papers.go1 import trot_then_crawl
from experiments.papers.study_task import StudyTask

task = StudyTask(
    "go1-trot-then-crawl",
    trot_then_crawl,
    120,
    {"trot": 0.0, "crawl": 0.0},
    noise_free={"noise_free": True},
    look_every=5,
)
