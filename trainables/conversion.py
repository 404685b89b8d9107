"""Making a module elastic that was written without a thought of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from phylon.search.errors import ConfigurationError
from phylon.trainables.elastic import ElasticBatchNorm2d, ElasticConv2d, ElasticLinear


def make_elastic(module: nn.Module) -> nn.Module:
    """Make all convolutions, batch norms and linear layers of a module elastic, at any depth.

    They keep their parameters and names, and their sizes are the largest from now on.

    >>> from torch import zeros
    >>> network = make_elastic(nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)))
    >>> network[0].select(width=4)
    >>> network(zeros(2, 1, 6, 6)).shape
    torch.Size([2, 4, 6, 6])

    Returns:
        The module, changed in place; or what takes its place, if it is such a layer itself.

    Raises:
        ConfigurationError: A convolution is of a kind that cannot be elastic.
    """
    if (make := _MAKERS.get(type(module))) is not None:
        return _with_tensors_of(module, make(module))
    for name, child in module.named_children():
        setattr(module, name, make_elastic(child))
    return module


def _elastic_conv2d(conv: Any) -> ElasticConv2d:  # noqa: ANN401
    sides = [conv.kernel_size, conv.stride, conv.padding, conv.dilation]
    if conv.padding_mode != "zeros" or any(len({*each}) > 1 for each in sides):
        raise ConfigurationError(
            f"{conv} cannot be made elastic; allowed: the same kernel size, stride, padding (a "
            "number, of zeros) and dilation for height and width"
        )
    kernel, stride, padding, dilation = (each[0] for each in sides)
    return ElasticConv2d(
        conv.in_channels,
        conv.out_channels,
        kernel,
        stride,
        padding,
        dilation,
        conv.groups,
        conv.bias is not None,
    )


def _elastic_norm(norm: Any) -> ElasticBatchNorm2d:  # noqa: ANN401
    return ElasticBatchNorm2d(
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
    )


def _elastic_linear(layer: Any) -> ElasticLinear:  # noqa: ANN401
    return ElasticLinear(layer.in_features, layer.out_features, layer.bias is not None)


_MAKERS: Mapping[type, Any] = {
    nn.Conv2d: _elastic_conv2d,
    nn.BatchNorm2d: _elastic_norm,
    nn.Linear: _elastic_linear,
}


def _with_tensors_of(old: nn.Module, new: nn.Module) -> nn.Module:
    for name, parameter in old.named_parameters(recurse=False):
        new.register_parameter(name, parameter)
    for name, buffer in old.named_buffers(recurse=False):
        new.register_buffer(name, buffer)
    return new.train(old.training)
