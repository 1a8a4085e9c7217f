"""One thread for linear algebra in every test process, as `make test` has it: two workers that use all cores each stand
in each other's way, and small matrices are faster on one."""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
