"""A pole on a cart that a force pushes along a rail."""
