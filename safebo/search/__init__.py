"""How a proposal is searched: over a finite grid, or in the continuous box by swarm and gradient."""

from safebo.search.continuous import search_box
from safebo.search.grid import search_grid, unit_grid

__all__ = ["search_box", "search_grid", "unit_grid"]
