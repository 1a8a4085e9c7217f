"""`python -m safebo.hardware.virtual` is `safebo-virtual-robot`."""

from safebo.hardware.virtual.cli import main

if __name__ == "__main__":
    main()
