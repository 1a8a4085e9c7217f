"""`python -m hardware.guardian`."""

from hardware.guardian.cli import main

main()
