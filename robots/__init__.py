"""Robots, their controllers and their simulation. Knows no optimizer and imports no torch."""
