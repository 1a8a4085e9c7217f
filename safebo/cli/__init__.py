"""The command line."""

import gc

gc.set_threshold(
    10_000, 10, 10
)  # loading makes hundreds of thousands of objects, and none of them is garbage
