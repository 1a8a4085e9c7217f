"""The journal of a run: its tables, its lock, copies of prior trials. The one place with SQL."""
