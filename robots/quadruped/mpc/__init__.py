"""Convex model predictive control over ground reaction forces."""
