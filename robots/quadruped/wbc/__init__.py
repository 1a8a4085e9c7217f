"""Whole-body control: tasks, their hierarchy, and the torques that realise them."""
