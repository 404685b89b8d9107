"""What a candidate that inherits begins with: its parent's weights and momenta, or why not."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate
from phylon.search.errors import EvaluationError, GivenBack, PhylonError, is_out_of_memory
from phylon.search.evaluation import Context, Published, Weights
from phylon.trainables.inherit import inherit

if TYPE_CHECKING:
    from phylon.trainables.task import Task

MISFITS = (PhylonError, LookupError, TypeError, ValueError, RuntimeError)
"""What reading, comparing and filling raise if a file is damaged or of another version."""

Kept = dict[str, Tensor]
"""What an optimizer keeps of one parameter, by its kind: ``exp_avg``, ``momentum_buffer``, ..."""

log = logging.getLogger(__name__)


@final
@dataclass(frozen=True, slots=True)
class Heritage:
    """What came from the parent.

    Attributes:
        share: How much of the network's parameters, from 0 to 1.
        note: Why there is nothing, if there should be.
        kept: What the parent's optimizer kept of parameters that the child has as well, by the
            names of these in the child's module.
    """

    share: float
    note: str = ""
    kept: Mapping[str, Kept] = field(default_factory=dict)

    def hand_over(self, module: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        """Let optimizers go on with what was kept, each parameter for itself.

        Learning rates and all that else is set stays the child's own.
        """
        names = {parameter: name for name, parameter in module.named_parameters()}
        for optimizer in optimizers if self.kept else ():
            for group in optimizer.param_groups:
                for parameter, usual in zip(group["params"], _usual(optimizer, group), strict=True):
                    kept = self.kept.get(names.get(parameter, ""), {})
                    if usual and _fits(kept, usual, parameter):
                        optimizer.state[parameter] = {
                            kind: _as_usual(kept[kind], like, parameter)
                            for kind, like in usual.items()
                        }


def take_over(
    task: Task, candidate: Candidate, module: nn.Module, network: nn.Module, context: Context
) -> Heritage:
    """Give a fresh network the weights that a candidate inherits, as far as they fit.

    Whatever is wrong with them leaves the network as it is.

    Args:
        task: Knows which layers descend from which.
        candidate: Names its parent.
        module: What trains the network.
        network: What the candidate's architecture describes.
        context: Lends the weights.

    Raises:
        GivenBack: The run ends.
    """
    assert candidate.inherit_from is not None
    try:
        published = context.weights(candidate.inherit_from)
        return _descend(task, candidate, module, network, published)
    except MISFITS as error:
        if isinstance(error, GivenBack) or is_out_of_memory(error):
            raise
        told = isinstance(error, PhylonError)
        what = f"{type(error).__name__}: {error}"
        reason = str(error) if told else f"its parent's do not fit ({what})"
        log.warning("candidate %d begins with random weights: %s", candidate.id, reason)
        return Heritage(0.0, f"began with random weights: {reason}")


def _descend(
    task: Task, candidate: Candidate, module: nn.Module, network: nn.Module, published: Published
) -> Heritage:
    if "architecture" not in published.about:
        raise EvaluationError(
            f"the weights of candidate {candidate.inherit_from} do not tell the architecture that "
            "they belong to, so another version of phylon has written them"
        )
    parent = Architecture(published.about["architecture"])
    prefix = _prefix(module, network)
    weights = _without(prefix, published.arrays)
    kinship = task.kinship(parent, candidate.architecture)
    taken = inherit(weights, network, kinship, candidate.seed)
    with torch.no_grad():
        for name, own in network.state_dict().items():
            if name in taken.state:
                own.copy_(taken.state[name])
    by_name = _by_parameter(published.optimizer)
    kept = {
        prefix + own: by_name[prefix + theirs]
        for own, theirs in taken.unchanged.items()
        if prefix + theirs in by_name
    }
    return Heritage(taken.share, kept=kept)


def keep(module: nn.Module, optimizers: Sequence[Optimizer]) -> Weights:
    """Return what optimizers keep of a module's parameters, by ``KIND:PARAMETER``.

    That is tensors of the parameter's own shape, and single numbers, such as how many steps it
    made. What is kept otherwise is of no use to other networks; then nothing is returned of the
    parameter.
    """
    names: dict[Tensor, str] = {it: name for name, it in module.named_parameters()}
    kept: dict[str, NDArray[np.generic]] = {}
    for optimizer in optimizers:
        for parameter, state in optimizer.state.items():
            if parameter in names and _is_common(state, parameter):
                for kind, tensor in state.items():
                    known = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
                    # safetensors takes an array's numbers as they lie in memory.
                    kept[f"{kind}:{names[parameter]}"] = known.contiguous().numpy(force=True)
    return kept


def _is_common(state: Mapping[str, Any], parameter: Tensor) -> bool:
    shapes = torch.Size(), parameter.shape
    return all(isinstance(it, Tensor) and it.shape in shapes for it in state.values())


def _fits(kept: Kept, usual: Kept, parameter: Tensor) -> bool:
    """Whether an optimizer keeps just this of a parameter, and can go on with it."""
    return kept.keys() == usual.keys() and _is_common(kept, parameter)


def _as_usual(kept: Tensor, like: Tensor, parameter: Tensor) -> Tensor:
    """Return what was kept where an optimizer looks for it, and as the parameter lies in memory."""
    shaped = parameter if kept.shape == parameter.shape else kept
    if shaped.is_contiguous():
        return kept.to(like.device, like.dtype)
    return torch.empty_like(shaped, dtype=like.dtype, device=like.device).copy_(kept)


def _usual(optimizer: Optimizer, group: dict[str, Any]) -> list[Kept]:
    """Return what an optimizer will keep of the parameters of a group, as to kinds.

    A step of its double on parameters of single numbers shows. It is nothing where that is not
    possible, as with optimizers that evaluate the loss again.
    """
    stand_ins = {
        (each.ndim, each.dtype, each.device): nn.Parameter(
            torch.zeros((1,) * each.ndim, dtype=each.dtype, device=each.device)
        )
        for each in group["params"]
    }
    for each in stand_ins.values():
        each.grad = torch.zeros_like(each)
    double: Optimizer = object.__new__(type(optimizer))
    try:
        double.__setstate__(
            {
                "defaults": {**optimizer.defaults},
                "state": defaultdict(dict),
                "param_groups": [{**group, "params": [*stand_ins.values()]}],
            }
        )
        double.step()
    except Exception as error:  # noqa: BLE001 - it may be the user's own
        log.warning(
            "%s begins without what the parent's kept: it takes no step by itself (%s: %s)",
            type(optimizer).__name__, type(error).__name__, error,
        )  # fmt: skip
    return [
        {**double.state[stand_ins[each.ndim, each.dtype, each.device]]} for each in group["params"]
    ]


def _by_parameter(optimizer: Weights) -> dict[str, Kept]:
    """Return what `keep` returned, kind by kind, for each parameter; without infinite momenta."""
    kept: defaultdict[str, Kept] = defaultdict(dict)
    for name, array in optimizer.items():
        if np.isfinite(array).all():
            kind, _, parameter = name.partition(":")
            kept[parameter][kind] = torch.tensor(array)
    return dict(kept)


def _prefix(module: nn.Module, network: nn.Module) -> str:
    """Return what names of a network's parameters begin with in its module."""
    for name, each in module.named_modules():
        if each is network:
            return f"{name}." if name else ""
    raise EvaluationError(
        f"{type(module).__name__} does not hold the network that it trains as a submodule, so its "
        "weights cannot be told from others; assign the network to an attribute of the module"
    )


def _without(prefix: str, arrays: Weights) -> Weights:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
