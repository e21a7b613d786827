"""The layers that this kit does in its own way because a CPU is slow at torch's: same values, same gradients."""

import copy

import pytest
import torch
from torch import nn

from covidseg.nn.fast_layers import PReLU
from covidseg.nn.layers import depthwise


def gradients(layer, x, upstream):
    x = x.clone().requires_grad_()
    y = layer(x)
    y.backward(upstream[tuple(slice(side) for side in y.shape)])
    return [y.detach(), x.grad, *(p.grad for p in layer.parameters())]


@pytest.mark.parametrize("shape", [(3, 5), (2, 5, 9), (2, 5, 7, 6), (1, 5, 4, 3, 2)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_prelu_has_the_values_and_gradients_of_torchs(shape, channels_last):
    ours, torchs = PReLU(5), nn.PReLU(5)
    slopes = torch.tensor([0.25, -0.5, 0.0, 1.0, 2.0])
    for layer in (ours, torchs):
        layer.load_state_dict({"weight": slopes})
    x, upstream = torch.randn(2, *shape).double().unbind()
    if channels_last and x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    x[0, 0] = 0  # at the kink torch takes the slope of the left side
    for a, b in zip(gradients(ours.double(), x, upstream), gradients(torchs.double(), x, upstream), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_prelu_of_one_slope_serves_all_channels():
    x, upstream = torch.randn(2, 2, 3, 4, 4).unbind()
    for a, b in zip(gradients(PReLU(1), x, upstream), gradients(nn.PReLU(1), x, upstream), strict=True):
        torch.testing.assert_close(a, b)


def test_prelu_learns_under_autocast():
    layer, conv = PReLU(4), nn.Conv2d(3, 4, 1)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(conv(torch.randn(2, 3, 8, 8)))
    y.float().square().mean().backward()
    assert y.dtype == torch.bfloat16 and layer.weight.grad.dtype == torch.float32
    assert layer.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("kernel, dilation", [(3, 2), (3, 4), (3, 8), (5, 2)])
@pytest.mark.parametrize("size", [(16, 16), (17, 23), (1, 2)])
def test_halving_convolution_is_the_strided_dilated_one(kernel, dilation, size):
    ours = depthwise(3, kernel, stride=2, dilation=dilation).double()
    torchs = nn.Conv2d(3, 3, kernel, 2, dilation * (kernel - 1) // 2, dilation, groups=3, bias=False).double()
    torchs.load_state_dict(copy.deepcopy(ours.state_dict()))
    x, upstream = torch.randn(2, 2, 3, *size).double().unbind()
    for a, b in zip(gradients(ours, x, upstream), gradients(torchs, x, upstream), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
