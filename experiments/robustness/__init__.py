"""Experiments that treat a run badly and look at what is left."""
