"""Layers of torch done in another way because a CPU learns faster so: same values, same gradients, same state dict."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class HalvingConv2d(nn.Conv2d):
    """A convolution of stride 2 and even dilation d, done as one of stride 1 and dilation d/2 on every second pixel.

    It never looks at the others: output i reads the pixels 2i, 2i + d, 2i - d, ..., all even. The values are the same,
    and a CPU, which has fast code for strides and for dilations but not for both at once, learns several times as fast.
    """

    padding: tuple[int, ...]  # torch's own may also be a word, such as "same"

    def forward(self, x: Tensor) -> Tensor:
        padding, dilation = [p // 2 for p in self.padding], [d // 2 for d in self.dilation]
        return F.conv2d(x[..., ::2, ::2], self.weight, self.bias, 1, padding, dilation, self.groups)


class PReLU(nn.PReLU):
    """x where x > 0, a_c x elsewhere, one learned slope a_c per channel (He et al., ICCV 2015): (B, C, H, W) -> same.

    On a CPU torch's own gradient takes a tenth of a small network's training step, for it decides pixel by pixel; this
    one multiplies whole maps, of finite numbers. In ``eval()`` and on other devices, which have fast code, it is
    torch's: second derivatives and traces for export want that.
    """

    def forward(self, x: Tensor) -> Tensor:
        per_channel = x.ndim > 1 and x.shape[1] == self.num_parameters
        ours = self.training and per_channel and x.device.type == "cpu"
        return _PReLU.apply(x, self.weight) if ours else super().forward(x)


class _PReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor) -> Tensor:
        ctx.save_for_backward(x, a)
        return F.prelu(x, a)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, a = ctx.saved_tensors
        other = [d for d in range(x.ndim) if d != 1]
        above = torch.ops.aten.threshold_backward(grad, x, 0)  # the gradient where x > 0, zero elsewhere
        below = grad - above
        above.addcmul_(below, a.to(grad.dtype).view(-1, *[1] * (x.ndim - 2)))  # df/dx is 1 there, a_c here
        return above, below.mul_(x).sum(other, dtype=a.dtype)  # df/da_c = x where x <= 0


class DirectConv2d(nn.Conv2d):
    """A convolution for answers alone, without gradients, that asks oneDNN at once, where that is there.

    torch itself takes a slower way for small 1x1 convolutions on one thread.
    every_second : its input holds every second pixel already, see `HalvingConv2d`
    """

    every_second = False
    padding: tuple[int, ...]

    def forward(self, x: Tensor) -> Tensor:
        direct = x.device.type == "cpu" and x.dtype == torch.float32 and torch.backends.mkldnn.is_available()
        if not direct or torch.jit.is_tracing() or torch.is_grad_enabled():
            return super().forward(x)
        shape = self.padding, self.stride, self.dilation, self.groups
        return torch.ops.aten.mkldnn_convolution(x, self.weight, self.bias, *shape)
