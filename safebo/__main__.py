"""`python -m safebo`."""

from safebo.cli import main

main()
