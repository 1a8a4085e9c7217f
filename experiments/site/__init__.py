"""The documentation's site: pages of its reference that are written from the program, and what its build needs."""
