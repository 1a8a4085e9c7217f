"""The command line."""

import gc

# Loading makes hundreds of thousands of objects, and none of them is garbage.
gc.set_threshold(10_000, 10, 10)
