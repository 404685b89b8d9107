"""What a strategy's proposals cost: processor time of an ask after so many results.

    python benchmarks/strategies.py

The surrogate is asked in a space with every kind of decision, where its model is trusted; the
median and the most of 20 asks with a result after each, the first of which, with its imports, is
left out.
"""

from __future__ import annotations

import time

import numpy as np

from phylon.search import (
    Block,
    Candidate,
    Choice,
    Float,
    Integer,
    Outcome,
    Repeat,
    SearchSpace,
    Strategy,
    make_strategy,
)

SPACE = SearchSpace(
    lr=Float(1e-4, 1e-1, log=True),
    dropout=Float(0.0, 0.5),
    width=Integer(8, 64, step=8),
    stages=Repeat(Block(depth=Integer(1, 4), act=Choice("relu", "gelu")), 1, 4),
    block=Choice(plain=Block(), residual=Block(kernel=Choice(3, 5, 7))),
)


def outcome(candidate: Candidate) -> Outcome:
    net = candidate.architecture
    regret = abs(net["dropout"] - 0.2) + abs(net["width"] - 32) / 32 + abs(len(net["stages"]) - 2)
    return Outcome((regret + abs(np.log10(net["lr"]) + 2),))


def asks(strategy: Strategy, results: int, n: int) -> list[float]:
    """Return the seconds of `n` asks after so many results, which are random architectures."""
    history: list[tuple[Candidate, Outcome | None]] = []
    source = make_strategy("random", strategy.space, seed=1)
    for candidate in source.ask(results):
        history += [(candidate, None), (candidate, outcome(candidate))]
    strategy.replay(history)
    seconds = []
    for _ in range(n + 1):
        begin = time.process_time()
        (candidate,) = strategy.ask()
        seconds.append(time.process_time() - begin)
        strategy.tell(candidate, outcome(candidate))
    return seconds[1:]


def main() -> None:
    for name, results, wanted in (
        ("surrogate", 300, 50),
        ("surrogate", 3_000, 500),
        ("regularized_evolution", 100_000, 1),
        ("nsga2", 100_000, None),
        ("local_search", 100_000, None),
    ):
        seconds = 1000 * np.array(asks(make_strategy(name, SPACE), results, 20))
        target = f", wanted at most {wanted}" if wanted else ""
        print(
            f"{name} after {results:,} results: {np.median(seconds):.2f} ms, "
            f"most {seconds.max():.2f}{target}"
        )


if __name__ == "__main__":
    main()
