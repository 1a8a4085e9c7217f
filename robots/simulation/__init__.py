"""MuJoCo's plant, disturbances, rollouts and pictures of them."""
