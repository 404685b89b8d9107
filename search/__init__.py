"""What to try next: spaces, architectures, strategies."""

from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Measurement, Outcome, candidate_seed
from phylon.search.constraint import Constraint
from phylon.search.evaluation import Context, Evaluator, Tester
from phylon.search.nodes import Block, Cell, Choice, Float, Integer, Repeat, WiredCell
from phylon.search.objective import Objective
from phylon.search.proposal import Proposal
from phylon.search.registry import STRATEGIES, make_strategy
from phylon.search.space import SearchSpace
from phylon.search.strategy import Strategy
from phylon.search.variation import crossover, mutate, neighbours

__all__ = [
    "STRATEGIES",
    "Architecture",
    "Block",
    "Candidate",
    "Cell",
    "Choice",
    "Constraint",
    "Context",
    "Evaluator",
    "Float",
    "Integer",
    "Measurement",
    "Objective",
    "Outcome",
    "Proposal",
    "Repeat",
    "SearchSpace",
    "Strategy",
    "Tester",
    "WiredCell",
    "candidate_seed",
    "crossover",
    "make_strategy",
    "mutate",
    "neighbours",
]
