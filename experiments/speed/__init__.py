"""How fast the parts are: medians of one process on one core, printed by `python -m safebo.experiments.speed`."""
