"""The shipped study `gosafeopt-toy`, its answer looked at after every trial."""

from dataclasses import replace

from safebo.experiments.bench.studies import shipped_problem

task = replace(shipped_problem("gosafeopt-toy"), checkpoints=91)
