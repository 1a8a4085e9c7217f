"""Gaussian processes: kernels, posteriors, hyperparameters, confidence bounds, beta schedules."""
