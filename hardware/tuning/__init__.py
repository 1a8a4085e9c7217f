"""The tuner's side of the bridge: trials of a study on the robot behind a guardian."""
