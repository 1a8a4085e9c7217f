"""`safebo identify`: from the trials of runs to the plant that made them, and to the next walk."""
