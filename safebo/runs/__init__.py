"""A run: the loop, its progress, the operator's supervision, manual steps, prior runs, recommendations."""
