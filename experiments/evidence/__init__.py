"""Commands that print the figures this project claims: landscapes, tuning statistics, walking, robustness."""
