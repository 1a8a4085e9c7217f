"""Studies of the papers as tasks of a benchmark, a file each: `safebo bench run experiments/papers/tasks/FILE.py`."""
