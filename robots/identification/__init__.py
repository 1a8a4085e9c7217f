"""What a plant is like, from walks that were recorded: replay, fit, and what the next walk would tell."""
