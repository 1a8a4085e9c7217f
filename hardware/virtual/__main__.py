"""`python -m hardware.virtual` is `safebo-virtual-robot`."""

from hardware.virtual.cli import main

if __name__ == "__main__":
    main()
