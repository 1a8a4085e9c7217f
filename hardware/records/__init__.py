"""Records of a robot that viewers open: MCAP files, what is in them, and how they are read again."""
