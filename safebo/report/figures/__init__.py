"""Pictures of a run: pure functions from plain data to a matplotlib figure, all in one style."""
