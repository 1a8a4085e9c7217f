"""Studies and benchmarks: the one place where optimizer, robots and hardware meet."""
