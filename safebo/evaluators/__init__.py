"""Finding and running evaluators, and the one check of what they return."""
