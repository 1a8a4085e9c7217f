"""Benchmarks: the same tasks, seeds and noise for every method, results with provenance, statistics, a report."""
