"""Text of others at the edges: as the name of a file, and as what a person reads."""
