"""The nodes that search spaces are made of."""

from phylon.search.blocks import Block, Repeat
from phylon.search.cell import Cell
from phylon.search.choice import Choice
from phylon.search.numeric import Float, Integer

__all__ = ["Block", "Cell", "Choice", "Float", "Integer", "Repeat"]
