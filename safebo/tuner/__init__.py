"""Ask and tell: which trial comes next, from a study and what its trials showed. Pure: no files, no clock."""

from safebo.tuner.tuner import Tuner

__all__ = ["Tuner"]
