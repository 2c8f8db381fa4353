"""Maps of lines: how much of each element, or of each emission line of a gas, is in every pixel of a cube."""

from deepspec.line_maps.elements import map_elements
from deepspec.line_maps.emission import map_emission
from deepspec.line_maps.mapping import map_lines
from deepspec.line_maps.result import LineMap, LineMaps

__all__ = ["LineMap", "LineMaps", "map_elements", "map_emission", "map_lines"]
