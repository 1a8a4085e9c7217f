"""Robots as typed records, and the generator that writes them as MJCF."""
