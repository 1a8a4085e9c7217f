"""Safe Bayesian optimization of controller gains. Knows no robot.

Importing this package loads nothing heavy: torch comes with `safebo.tuner` and its neighbours.
"""

__version__ = "0.1.0"
