"""How a proposal is searched: over a finite grid, in the continuous box by swarm and gradient, or along lines."""

from safebo.search.continuous import search_box
from safebo.search.grid import search_grid, unit_grid
from safebo.search.lines import LineBundle, line_bundle, search_lines

__all__ = ["LineBundle", "line_bundle", "search_box", "search_grid", "search_lines", "unit_grid"]
