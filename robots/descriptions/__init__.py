"""Robots as typed facts, and the generator that writes them as MJCF."""
