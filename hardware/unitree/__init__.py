"""Unitree's own wire protocols: Go2 over Cyclone DDS, Go1 over UDP. Our own types, no vendor code."""
