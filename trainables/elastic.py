"""Layers that hold the weights of many sizes or operations, of which one at a time is active.

The weights of a smaller size are a part of those of the largest, as in the weight entanglement of
AutoFormer (Chen et al. 2021, https://arxiv.org/abs/2107.00651): the leading channels, and the
centre of a kernel. Selecting copies nothing, and gradients flow into the weights of full size.
Layers take as many inputs as come in, so only outputs are selected.

Shapes: `b` samples, `c` channels, `h` x `w` pixels, `f` features; capital letters for full sizes.
"""

from __future__ import annotations

from typing import Any, cast, final

from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, linear

from phylon.search.errors import ConfigurationError, did_you_mean


@final
class OneOf(nn.Module):
    """Several modules of which one runs: the choice block of SPOS (Guo et al. 2020).

    https://arxiv.org/abs/1904.00420. The first is active until another one is selected.

    >>> pooling = OneOf(max=nn.MaxPool2d(2), none=nn.Identity())
    >>> pooling.select("none")
    >>> pooling.active
    Identity()

    Args:
        options: The modules, by the names under which they are selected.

    Raises:
        ConfigurationError: There is none, or a name is that of an attribute of all modules.
    """

    def __init__(self, **options: nn.Module) -> None:
        super().__init__()
        if not options:
            raise ConfigurationError("OneOf: there is nothing to choose from; name=module, ...")
        for name, module in options.items():
            if hasattr(self, name):
                raise ConfigurationError(
                    f"OneOf: {name!r} cannot name an option, as every module has an attribute of "
                    "this name; give it another one"
                )
            self.add_module(name, module)
        self._selected = next(iter(options))

    @property
    def active(self) -> nn.Module:
        """The module that runs."""
        return cast("nn.Module", self._modules[self._selected])

    def select(self, name: str) -> None:
        """Let this module run.

        Raises:
            ConfigurationError: There is no module of this name.
        """
        if name not in self._modules:
            raise ConfigurationError(f"OneOf has no {name!r}; {did_you_mean(name, self._modules)}")
        self._selected = name

    def forward(self, *inputs: Tensor) -> Any:  # noqa: ANN401 - as the module
        """Return what the active module makes of the inputs."""
        return self.active(*inputs)


@final
class ElasticDepth(nn.Sequential):
    """Modules one after the other, of which the first few run: OFA's elastic depth.

    Cai et al. 2020, https://arxiv.org/abs/1908.09791. All run until a depth is selected.
    """

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__(*modules)
        self._depth = len(self)

    def select(self, depth: int) -> None:
        """Let only the first so many modules run.

        Raises:
            ConfigurationError: There are fewer.
        """
        self._depth = _within("depth", depth, len(self), least=0)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the active modules make of the inputs."""
        for index, module in enumerate(self):
            if index == self._depth:
                break
            inputs = module(inputs)
        return inputs


@final
class ElasticConv2d(nn.Conv2d):
    """A convolution ``(b, c, h, w) -> (b, width, h', w')`` for any ``c <= C`` and ``width <= D``.

    Its kernel may be elastic, too (OFA, https://arxiv.org/abs/1908.09791, without the matrices that
    transform kernels there), and so may its stride, on which no weights depend. In a depthwise one,
    with `groups` = C = D, the width is that of the inputs.

    Args:
        in_channels: C.
        out_channels: D.
        kernel_size: Side of the largest kernel.
        stride: Of the largest convolution.
        padding: Of the largest kernel; smaller ones have less, so that maps keep their size.
        dilation: Of all kernels.
        groups: 1, or C for a depthwise convolution.
        bias: Whether there is one.

    Raises:
        ConfigurationError: The groups are others.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
        )
        if groups not in (1, in_channels) or (groups > 1 and out_channels != in_channels):
            raise ConfigurationError(
                f"ElasticConv2d({in_channels}, {out_channels}, groups={groups}); allowed: groups=1 "
                "or, with as many channels out as in, groups=channels"
            )
        self._asked: tuple[int | None, ...] = ()
        self.select()

    def select(
        self, *, width: int | None = None, kernel: int | None = None, stride: int | None = None
    ) -> None:
        """Set the channels that come out, the side of the kernel, and the stride.

        What is left out becomes that of the largest convolution.

        Raises:
            ConfigurationError: A number is larger, or the kernel cannot be centred in the largest.
        """
        asked = width, kernel, stride
        if asked == self._asked:  # as at most steps of most layers
            return
        largest, padding = self.kernel_size[0], int(self.padding[0])
        width = _within("width", width, self.out_channels)
        kernel = _within("kernel", kernel, largest)
        margin = (largest - kernel) // 2
        less = padding - margin * self.dilation[0]
        if (largest - kernel) % 2 or less < 0:
            raise ConfigurationError(
                f"kernel {kernel} has no place in the centre of an ElasticConv2d of kernel "
                f"{largest} and padding {padding}; allowed: odd ones, with "
                "padding=dilation * (kernel // 2)"
            )
        self._width, self._side = width, slice(margin, largest - margin)
        self._stride = self.stride[0] if stride is None else stride
        self._padding, self._asked = less, asked
        self._is_part = margin > 0 or width < self.out_channels

    def forward(self, maps: Tensor) -> Tensor:
        """Return the convolution of the selected size."""
        weight, bias, inputs = self.weight, self.bias, maps.shape[1]
        depthwise = self.groups > 1
        if self._is_part or inputs < self.in_channels:  # else there is nothing to pay for
            width, depth = (inputs, 1) if depthwise else (self._width, inputs)
            weight = weight[:width, :depth, self._side, self._side]
            bias = _leading(bias, width)
        groups = inputs if depthwise else 1
        return conv2d(maps, weight, bias, self._stride, self._padding, self.dilation[0], groups)


@final
class ElasticBatchNorm2d(nn.BatchNorm2d):
    """A batch norm of as many channels as come in, with statistics, of ``(b, c, h, w)``, c <= C.

    All widths share the statistics of their channels: calibrate them for the width that is used.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return the maps, normalised with parameters and statistics of the leading channels."""
        width = maps.shape[1]
        if width == self.num_features:
            return super().forward(maps)
        momentum = self.momentum or 0.0
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # a plain mean over all batches
                momentum = 1.0 / float(self.num_batches_tracked)
        return batch_norm(
            maps,
            _leading(self.running_mean, width),
            _leading(self.running_var, width),
            _leading(self.weight, width),
            _leading(self.bias, width),
            self.training or self.running_mean is None,
            momentum,
            self.eps,
        )


@final
class ElasticLinear(nn.Linear):
    """A linear layer ``(..., f) -> (..., width)`` for any ``f <= F`` and ``width <= G``."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias)
        self.select()

    def select(self, *, width: int | None = None) -> None:
        """Set the features that come out; all of them by default.

        Raises:
            ConfigurationError: There are fewer.
        """
        self._width = _within("width", width, self.out_features)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the linear map of the selected size."""
        weight: Tensor = self.weight
        bias: Tensor | None = self.bias
        if inputs.shape[-1] < self.in_features:
            weight = weight[:, : inputs.shape[-1]]
        if self._width < self.out_features:
            weight, bias = weight[: self._width], _leading(bias, self._width)
        return linear(inputs, weight, bias)


def _leading(tensor: Tensor | None, count: int) -> Tensor | None:
    return None if tensor is None else tensor[:count]


def _within(what: str, number: int | None, most: int, least: int = 1) -> int:
    if number is None:
        return most
    if not least <= number <= most:
        raise ConfigurationError(f"{what} {number} is selected; allowed: {least} to {most}")
    return number
