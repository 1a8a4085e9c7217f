"""Backup states and the rule that watches a trial at control rate; numpy and numba alone, for the robot's side too."""
