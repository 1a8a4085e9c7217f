"""`python -m safebo`."""

from safebo.cli.main import main

main()
