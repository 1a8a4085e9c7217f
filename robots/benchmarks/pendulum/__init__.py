"""A torque-driven pendulum whose safe gains form two islands: the smallest robot on which local search fails."""
