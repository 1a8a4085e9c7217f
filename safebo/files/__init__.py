"""Files that people hand over, as plain data with the line of every key."""
