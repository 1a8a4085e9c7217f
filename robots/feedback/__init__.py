"""Mechanisms in MuJoCo under linear feedback of their state, many gains at once."""
