"""Getting up and lying down as a task of its own, in simulation."""
