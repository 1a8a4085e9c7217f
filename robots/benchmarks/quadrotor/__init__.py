"""A small quadrotor whose attitude and height gains are tuned against a disturbance its plan does not know."""
