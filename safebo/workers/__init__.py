"""Worker processes that evaluate trials, and signals. Loads no torch."""
