"""`safebo transfer`: from a robot's recorded trials to a study for it that begins with what simulation showed."""
