"""`python -m safebo.hardware.guardian`."""

from safebo.hardware.guardian.cli import main

main()
