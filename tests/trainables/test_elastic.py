from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from phylon.search.errors import ConfigurationError
from phylon.trainables import (
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticDepth,
    ElasticLinear,
    OneOf,
    make_elastic,
)

LARGEST = 6
sizes = st.integers(1, LARGEST)
kernels = st.sampled_from([1, 3, 5])


def picked(gradient: Tensor | None, part: Tensor) -> None:
    """Check that a gradient is that of the part, and zero elsewhere."""
    assert gradient is not None
    assert part.grad is not None
    assert gradient.count_nonzero() == part.grad.count_nonzero()
    assert gradient.sum() == pytest.approx(float(part.grad.sum()), rel=1e-4, abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    inputs=sizes, width=sizes, kernel=kernels, stride=st.integers(1, 2), dilation=st.integers(1, 2)
)
def test_a_convolution_of_any_size_is_the_centre_of_the_largest(
    inputs: int, width: int, kernel: int, stride: int, dilation: int
) -> None:
    layer = ElasticConv2d(LARGEST, LARGEST, 5, 2, 2 * dilation, dilation)
    layer.select(width=width, kernel=kernel, stride=stride)
    padding = dilation * (kernel // 2)
    plain = nn.Conv2d(inputs, width, kernel, stride, padding, dilation)
    margin = (5 - kernel) // 2
    weight = layer.weight[:width, :inputs, margin : margin + kernel, margin : margin + kernel]
    plain.load_state_dict({"weight": weight, "bias": layer.bias[:width]})
    maps = torch.randn(2, inputs, 8, 7)
    torch.testing.assert_close(layer(maps), plain(maps))
    layer(maps).square().sum().backward()
    plain(maps).square().sum().backward()
    picked(layer.weight.grad, plain.weight)
    picked(layer.bias.grad, plain.bias)


@given(width=sizes, kernel=kernels)
def test_a_depthwise_convolution_is_as_wide_as_its_inputs(width: int, kernel: int) -> None:
    layer = ElasticConv2d(LARGEST, LARGEST, 5, padding=2, groups=LARGEST)
    layer.select(kernel=kernel)
    plain = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
    margin = (5 - kernel) // 2
    weight = layer.weight[:width, :, margin : margin + kernel, margin : margin + kernel]
    plain.load_state_dict({"weight": weight, "bias": layer.bias[:width]})
    maps = torch.randn(2, width, 6, 6)
    torch.testing.assert_close(layer(maps), plain(maps))


@pytest.mark.parametrize("momentum", [0.3, None])
@pytest.mark.parametrize("width", [2, LARGEST])
def test_a_norm_keeps_the_statistics_of_the_channels_that_come_in(
    width: int, momentum: float | None
) -> None:
    layer = ElasticBatchNorm2d(LARGEST, momentum=momentum)
    plain = nn.BatchNorm2d(width, momentum=momentum)
    for _ in range(3):
        maps = torch.randn(4, width, 3, 3) + 2
        torch.testing.assert_close(layer(maps), plain(maps))
    torch.testing.assert_close(layer.running_mean[:width], plain.running_mean)
    torch.testing.assert_close(layer.running_var[:width], plain.running_var)
    assert not layer.running_mean[width:].any()
    torch.testing.assert_close(layer.eval()(maps), plain.eval()(maps))


def test_a_norm_without_parameters_or_statistics_has_none() -> None:
    layer = ElasticBatchNorm2d(LARGEST, affine=False, track_running_stats=False).eval()
    maps = torch.randn(4, 2, 3, 3)
    torch.testing.assert_close(layer(maps).mean(), torch.tensor(0.0), atol=1e-5, rtol=0)


@given(inputs=sizes, width=sizes, bias=st.booleans())
def test_a_linear_layer_of_any_size_is_the_corner_of_the_largest(
    inputs: int, width: int, bias: bool
) -> None:
    layer = ElasticLinear(LARGEST, LARGEST, bias)
    layer.select(width=width)
    features = torch.randn(3, 2, inputs)
    expected = features @ layer.weight[:width, :inputs].T + (layer.bias[:width] if bias else 0)
    torch.testing.assert_close(layer(features), expected)


def test_only_the_selected_module_runs() -> None:
    layer = OneOf(linear=nn.Linear(2, 2), same=nn.Identity())
    features = torch.ones(1, 2)
    assert layer(features).grad_fn is not None
    layer.select("same")
    assert layer(features) is features


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_only_the_first_modules_run(depth: int) -> None:
    layers = ElasticDepth(*[nn.Linear(2, 2) for _ in range(3)])
    layers.select(depth)
    layers(torch.ones(1, 2)).sum().backward() if depth else None
    assert [layer.weight.grad is not None for layer in layers] == [n < depth for n in range(3)]


def test_a_module_made_elastic_has_its_weights_and_names_still() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8, eps=0.1),
        nn.Sequential(nn.Flatten(), nn.Linear(8, 2)),
    ).eval()
    pictures = torch.randn(1, 3, 2, 2)
    before, weights, names = module(pictures), [*module.parameters()], [*module.state_dict()]
    assert make_elastic(module) is module
    assert torch.equal(module(pictures), before)
    assert all(map(lambda a, b: a is b, weights, module.parameters()))
    assert [*module.state_dict()] == names
    assert isinstance(make_elastic(nn.Linear(2, 2)), ElasticLinear)
    module[0].select(width=4)
    module[2][1].select(width=1)
    assert module(pictures).shape == (1, 1)


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (nn.Conv2d(4, 4, (3, 5)), "the same kernel size"),
        (nn.Conv2d(4, 4, 3, padding="same"), "the same kernel size"),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), "of zeros"),
        (nn.Conv2d(4, 8, 3, groups=4), "groups=1"),
        (nn.Conv2d(4, 4, 3, groups=2), "groups=channels"),
    ],
)
def test_other_convolutions_are_refused(layer: nn.Module, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        make_elastic(nn.Sequential(layer))


def test_what_there_is_not_cannot_be_selected() -> None:
    conv = ElasticConv2d(4, 4, 5, padding=2)
    for mistake, told in (
        ({"width": 5}, "width 5 is selected; allowed: 1 to 4"),
        ({"kernel": 7}, "kernel 7 is selected"),
        ({"kernel": 2}, "no place in the centre"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            conv.select(**mistake)
    with pytest.raises(ConfigurationError, match=r"padding=dilation \* \(kernel // 2\)"):
        ElasticConv2d(4, 4, 5).select(kernel=3)
    with pytest.raises(ConfigurationError, match="width 3"):
        ElasticLinear(4, 2).select(width=3)
    with pytest.raises(ConfigurationError, match="depth 2 is selected; allowed: 0 to 1"):
        ElasticDepth(nn.Identity()).select(2)
    with pytest.raises(ConfigurationError, match="did you mean `relu`"):
        OneOf(relu=nn.ReLU(), gelu=nn.GELU()).select("rel")
    with pytest.raises(ConfigurationError, match="nothing to choose from"):
        OneOf()
    with pytest.raises(ConfigurationError, match="'double' cannot name an option"):
        OneOf(double=nn.Identity())
