"""The macro convolutional search space: how many stages, and what each is made of."""

from __future__ import annotations

import math
from typing import Any

from phylon.search.choice import Choice
from phylon.search.errors import ConfigurationError
from phylon.search.node import Node
from phylon.search.nodes import Block, Repeat
from phylon.search.numeric import Float, Integer
from phylon.search.space import SearchSpace

WIDTH_STEP = 8


def macro_space(
    image_size: int,
    *,
    stages: tuple[int, int] = (1, 4),
    depth: tuple[int, int] = (1, 3),
    width: tuple[int, int] = (16, 64),
    kernels: tuple[int, ...] = (3, 5),
    hyperparameters: bool = True,
) -> SearchSpace:
    """Return the space of convolutional networks made of stages, with their hyperparameters.

    A stage is `depth` equal blocks, plain, residual (He et al., https://arxiv.org/abs/1512.03385)
    or depthwise-separable (Howard et al., https://arxiv.org/abs/1704.04861), and halves the height
    and width of the feature map.
    Every architecture can be built: there are never more stages than the picture can be halved.

    Args:
        image_size: The shorter side of the pictures, in pixels.
        stages: Fewest and most stages.
        depth: Fewest and most blocks of a stage.
        width: Fewest and most channels of a stage, in steps of 8.
        kernels: Sides of the convolution kernels; odd.
        hyperparameters: Whether learning rate and weight decay are decided, too.

    Raises:
        ConfigurationError: The pictures cannot be halved often enough, or a kernel is even.
        SpaceError: A range is ill-formed.
    """
    for name, bounds in (("stages", stages), ("depth", depth), ("width", width)):
        if len(tuple(bounds)) != 2:
            raise ConfigurationError(
                f"{name} is {bounds!r}; allowed: the least and the most, [1, 3]"
            )
    halvings = int(math.log2(image_size)) if image_size > 0 else 0
    if halvings < max(1, stages[0]):
        raise ConfigurationError(
            f"pictures of {image_size} pixels can be halved {halvings} times, but each of at least "
            f"{stages[0]} stages halves them; use larger pictures or fewer stages"
        )
    if even := [kernel for kernel in kernels if kernel % 2 == 0]:
        raise ConfigurationError(f"kernels {even} are even; only odd ones keep the size of a map")
    kernel = Block(kernel=Choice(*kernels))
    stage = Block(
        block=Choice(plain=kernel, residual=kernel, separable=kernel),
        depth=Integer(*depth),
        width=Integer(*width, step=WIDTH_STEP),
        pooling=Choice("max", "avg", "stride"),
    )
    decisions: dict[str, Node[Any]] = {
        "stages": Repeat(stage, stages[0], min(stages[1], halvings)),
        "activation": Choice("relu", "gelu", "silu"),
        "dropout": Float(0.0, 0.4),
    }
    if hyperparameters:
        decisions["learning_rate"] = Float(1e-3, 3e-2, log=True)
        decisions["weight_decay"] = Float(1e-5, 1e-1, log=True)
    return SearchSpace(decisions)
