"""An LSTM that decides on one part of an architecture after another, and learns by REINFORCE.

Needs torch, which is imported when a controller is made. Symbols: `t` decisions of an architecture,
`u` hidden units, `o` options of all questions together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, final

import numpy as np

from phylon.search.architecture import Architecture
from phylon.search.decisions import Decide, Decision, decide
from phylon.search.ensemble import one_thread
from phylon.search.space import SearchSpace

if TYPE_CHECKING:
    import torch

_UNITS = 64
_FIRST_WEIGHTS = 0.1


@final
class Controller:
    """A policy over the decisions of a space, which learns by REINFORCE.

    It reads what it decided last and what it is asked now, and answers with a distribution over the
    options. First weights are uniform in [-0.1, 0.1], so that all options are about as likely. In
    float64, so that rounding, which differs from processor to processor, does not grow into other
    decisions.

    Args:
        questions: Number of options by place.
        seed: 0 or more; the first weights are drawn from it.
        rate: Learning rate of Adam.
        entropy: Weight of the entropy in what is maximised.
        temperature: What logits are divided by; more makes options more alike.
        tanh_constant: What bounds logits on both sides, so that no option can vanish; None: nothing
            does.
    """

    def __init__(
        self,
        questions: Mapping[str, int],
        seed: int,
        *,
        rate: float,
        entropy: float,
        temperature: float = 1.0,
        tanh_constant: float | None = None,
    ) -> None:
        import torch

        starts = list(accumulate(questions.values(), initial=1))  # 0 stands for the beginning
        total = starts.pop()
        self._starts = dict(zip(questions, starts, strict=True))
        self._numbers = {place: number for number, place in enumerate(questions)}
        with torch.device("meta"):  # without drawing weights from torch's own generator
            self._answers = torch.nn.Embedding(total, _UNITS, dtype=torch.float64)
            self._questions = torch.nn.Embedding(len(questions), _UNITS, dtype=torch.float64)
            self._lstm = torch.nn.LSTM(_UNITS, _UNITS, dtype=torch.float64)
            self._head = torch.nn.Linear(_UNITS, total, dtype=torch.float64)
        parts = torch.nn.ModuleList([self._answers, self._questions, self._lstm, self._head])
        weights = list(parts.to_empty(device="cpu").parameters())
        generator = torch.Generator()
        generator.manual_seed(seed % 2**64)  # torch takes no larger one
        with torch.no_grad():
            for weight in weights:
                weight.uniform_(-_FIRST_WEIGHTS, _FIRST_WEIGHTS, generator=generator)
        self._adam = torch.optim.Adam(weights, lr=rate, fused=True)
        self._weights = weights
        self._entropy = entropy
        self._temperature = temperature
        self._tanh_constant = tanh_constant

    def sample(self, space: SearchSpace, rng: np.random.Generator) -> Architecture:
        """Draw an architecture; changes nothing but `rng`."""
        import torch

        with one_thread(), torch.no_grad():
            return decide(space, self._decider(rng), rng)

    def learn(self, taken: Sequence[Decision], advantage: float) -> None:
        """Make decisions that went better than expected more likely, or less, if worse.

        One step of Adam along ``advantage * grad log p(taken) + entropy * grad H``; `H` is the mean
        entropy of the distributions that were drawn from.
        """
        import torch

        if not taken:
            return
        with one_thread(), torch.enable_grad():
            chances = self._log_chances(taken)
            tokens = torch.tensor([[self._token(each)] for each in taken])
            told = chances.gather(1, tokens).sum()
            spread = -(chances.exp() * chances).sum(1).mean()
            self._adam.zero_grad()
            torch.autograd.backward(-advantage * told - self._entropy * spread)
            self._adam.step()

    def entropy(self, taken: Sequence[Decision]) -> float:
        """Return the mean entropy of the decisions that lead to an architecture, in nats."""
        import torch

        with one_thread(), torch.no_grad():
            chances = self._log_chances(taken)
            return float(-(chances.exp() * chances).sum(1).mean())

    def state(self) -> dict[str, Any]:
        """Return weights and what Adam remembers, as tensors and plain data; no copies."""
        return {
            "weights": [each.detach() for each in self._weights],
            "adam": self._adam.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become the controller, of the same space, whose `state` this is."""
        import torch

        with torch.no_grad():
            for weight, kept in zip(self._weights, state["weights"], strict=True):
                weight.copy_(kept)
        self._adam.load_state_dict(state["adam"])

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return what speaks for each option, ``(t, o)``, from hidden states ``(t, u)``."""
        logits: torch.Tensor = self._head(hidden) / self._temperature
        if self._tanh_constant is None:
            return logits
        return self._tanh_constant * logits.tanh()

    def _log_chances(self, taken: Sequence[Decision]) -> torch.Tensor:
        """Return log-probabilities ``(t, o)``, hugely negative for options of other questions."""
        import torch

        before = torch.tensor([0, *map(self._token, taken)][:-1])
        asked = torch.tensor([self._numbers[each.place] for each in taken])
        hidden, _ = self._lstm(self._answers(before) + self._questions(asked))  # (t, u)
        first = torch.tensor([[self._starts[each.place]] for each in taken])
        options = torch.tensor([[each.options] for each in taken])
        column = torch.arange(self._head.out_features)
        foreign = (column < first) | (column >= first + options)  # (t, o)
        logits = self._logits(hidden).masked_fill(foreign, -1e9)
        return torch.log_softmax(logits, dim=1)

    def _token(self, decision: Decision) -> int:
        return self._starts[decision.place] + decision.taken

    def _decider(self, rng: np.random.Generator) -> Decide:
        """Return what draws one decision after the other, and remembers what it drew."""
        import torch

        token, state = 0, None

        def take(place: str, options: int) -> int:
            nonlocal token, state
            before, asked = torch.tensor([token]), torch.tensor([self._numbers[place]])
            hidden, state = self._lstm(self._answers(before) + self._questions(asked), state)
            start = self._starts[place]
            logits = self._logits(hidden)[0, start : start + options]
            edges = torch.softmax(logits, dim=0).cumsum(0).numpy()
            taken = min(int(np.searchsorted(edges, rng.random(), side="right")), options - 1)
            token = start + taken
            return taken

        return take
