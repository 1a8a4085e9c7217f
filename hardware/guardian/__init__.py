"""The guardian: owns the right to command the robot, and answers every trouble by itself."""
