"""The nodes that search spaces are made of."""

from phylon.search.blocks import Block, Repeat
from phylon.search.cell import Cell
from phylon.search.choice import Choice
from phylon.search.graph import Graph
from phylon.search.numeric import Float, Integer
from phylon.search.wired_cell import WiredCell

__all__ = ["Block", "Cell", "Choice", "Float", "Graph", "Integer", "Repeat", "WiredCell"]
