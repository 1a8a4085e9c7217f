"""Control of a four-legged robot: gait, predictive control, whole-body control, joint law."""
