"""How a proposal is searched: over a finite grid, in the continuous box by swarm and gradient, or along lines."""

from safebo.optim.box import search_box
from safebo.optim.grid import search_grid, unit_grid
from safebo.optim.lines import LineBundle, line_bundle, search_lines

__all__ = ["LineBundle", "line_bundle", "search_box", "search_grid", "search_lines", "unit_grid"]
