"""The faults that a bridge to a robot must survive, each made on purpose; see `docs/faults.md`."""
