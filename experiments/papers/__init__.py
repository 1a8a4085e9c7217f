"""Comparisons of published papers, made again.

    python -m safebo.experiments.papers.huebotter2024
    python -m safebo.experiments.papers.sukhija2023
    python -m safebo.experiments.papers.widmer2023

Each runs its methods through `safebo.experiments.bench` (what is in `--out` already is not run again), draws
the paper's
figures in PNG, and writes `summary.md`: what the paper says beside what came out here, what was unpublished and
chosen by us, and where the two differ.
"""
