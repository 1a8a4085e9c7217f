"""Trials of a run, seen again from their record."""
